"""Score prediction (Song et al. 2021; SiT, Ma et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.predictions.base import Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register


@register("score")
class Score(Prediction):
    """``-noise / sigma``, the gradient of the logarithm of x_t's density given x_0.

    It grows with 1 / sigma: the loss weight ``constant`` with ``measured_on: epsilon`` is that
    of denoising score matching.
    """

    def coefficients(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(t), -1 / schedule.sigma(t)
