"""Min-SNR weighting (Hang et al. 2023, section 3.4)."""

from __future__ import annotations

from torch import Tensor

from vidiff.checks import positive
from vidiff.diffusion.loss_weights.base import LossWeight
from vidiff.diffusion.predictions import Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register


@register("min_snr")
class MinSNR(LossWeight):
    """``min(snr, gamma)`` on the squared error of the clean latents, whatever is predicted.

    Args:
        gamma: the bound, above 0; 5 in the paper.
    """

    def __init__(self, gamma: float = 5.0) -> None:
        positive(gamma=gamma)
        self.gamma = gamma

    def __call__(self, schedule: Schedule, prediction: Prediction, t: Tensor) -> Tensor:
        weight = schedule.snr(t).clamp(max=self.gamma)
        return weight / prediction.error_scale(schedule, t).square()
