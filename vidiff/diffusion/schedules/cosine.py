"""The cosine schedule (Nichol & Dhariwal 2021, eq. 17, without its offset; v-diffusion)."""

from __future__ import annotations

import math

from torch import Tensor

from vidiff.diffusion.schedules.base import Schedule
from vidiff.registry import register


@register("cosine")
class Cosine(Schedule):
    """``x_t = cos(pi t / 2) x_0 + sin(pi t / 2) noise``: variance-preserving.

    It is also SiT's interpolant GVP (Ma et al. 2024).
    """

    variance_preserving = True

    def alpha(self, t: Tensor) -> Tensor:
        return (math.pi / 2 * (1 - t)).sin()  # the cosine of rounded pi / 2 is below zero

    def sigma(self, t: Tensor) -> Tensor:
        return (math.pi / 2 * t).sin()

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * self.sigma(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        return math.pi / 2 * self.alpha(t)

    def time_at(self, noise_ratio: Tensor) -> Tensor:
        return 2 / math.pi * noise_ratio.atan()
