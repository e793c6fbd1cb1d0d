"""No weight ("simple" loss; DDPM, Ho et al. 2020, eq. 14), or that of another prediction's."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.checks import positive
from vidiff.diffusion.loss_weights.base import LossWeight
from vidiff.diffusion.predictions import MakePrediction, Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register


@register("constant")
class Constant(LossWeight):
    """The squared error as it is, in the network's own prediction or in another one.

    Args:
        measured_on: the prediction whose squared error counts; the network's own, by default.
            ``flow`` with a network that predicts ``sample`` is the loss of JiT (Li & He 2025).
            With one that predicts ``score``, ``epsilon`` is the unweighted loss of SiT (Ma et al.
            2024) and ``flow`` its velocity weighting.
        largest: bound on the weight, above 0: it grows without limit where the two differ most.
    """

    def __init__(self, measured_on: MakePrediction | None = None, largest: float = 25.0) -> None:
        positive(largest=largest)
        self.measured_on = measured_on() if measured_on else None
        self.largest = largest

    def __call__(self, schedule: Schedule, prediction: Prediction, t: Tensor) -> Tensor:
        if self.measured_on is None:
            return torch.ones_like(t)
        ratio = self.measured_on.error_scale(schedule, t) / prediction.error_scale(schedule, t)
        return ratio.square().clamp(max=self.largest)
