"""Prediction of the clean latents (x-prediction; Salimans & Ho 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.predictions.base import Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register


@register("sample")
class Sample(Prediction):
    """The clean latents."""

    def coefficients(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), torch.zeros_like(t)

    def target(self, x0: Tensor, noise: Tensor, schedule: Schedule, t: Tensor) -> Tensor:
        return x0
