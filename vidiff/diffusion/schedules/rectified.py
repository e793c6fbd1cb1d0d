"""The straight path of rectified flow (Liu et al. 2022; Lipman et al. 2023, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.schedules.base import Schedule
from vidiff.registry import register


@register("rectified")
class Rectified(Schedule):
    """``x_t = (1 - t) x_0 + t noise``."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def time_at(self, noise_ratio: Tensor) -> Tensor:
        return 1 / (1 + 1 / noise_ratio)
