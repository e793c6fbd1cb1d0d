"""Noise prediction (DDPM, Ho et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.predictions.base import Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register


@register("epsilon")
class Epsilon(Prediction):
    """The noise."""

    def coefficients(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(t), torch.ones_like(t)

    def target(self, x0: Tensor, noise: Tensor, schedule: Schedule, t: Tensor) -> Tensor:
        return noise
