"""Euler's method on the probability flow (Lipman et al. 2023; Ma et al. 2024, SiT)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Noise, OneStepSampler, velocity


@register("euler")
class Euler(OneStepSampler):
    """Straight steps along ``dx / dt = alpha' x_0 + sigma' noise``; exact on a straight path.

    The last step goes all the way to the estimated clean latents. Draws no noise.
    """

    def step(
        self,
        denoised: Denoised,
        latents: Tensor,
        t: Tensor,
        t_next: Tensor,
        schedule: Schedule,
        noise: Noise,
    ) -> Tensor:
        if t_next == 0:  # the same on a straight path; elsewhere sigma' may have no limit
            return denoised.x0
        return latents + (t_next - t) * velocity(denoised, schedule, t)
