"""The cosine schedule (Nichol & Dhariwal 2021, eq. 17, without its offset; v-diffusion)."""

from __future__ import annotations

import math

from torch import Tensor

from vidiff.diffusion.schedules.base import Schedule
from vidiff.registry import register


@register("cosine")
class Cosine(Schedule):
    """``x_t = cos(pi t / 2) x_0 + sin(pi t / 2) noise``: variance-preserving."""

    def alpha(self, t: Tensor) -> Tensor:
        return (math.pi / 2 * t).cos()

    def sigma(self, t: Tensor) -> Tensor:
        return (math.pi / 2 * t).sin()

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * self.sigma(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        return math.pi / 2 * self.alpha(t)
