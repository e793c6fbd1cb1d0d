"""Euler's method on the probability flow (Lipman et al. 2023; Ma et al. 2024, SiT)."""

from __future__ import annotations

import itertools

from torch import Tensor

from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Denoise, Noise, Sampler, velocity


@register("euler")
class Euler(Sampler):
    """Straight steps along ``dx / dt = alpha' x_0 + sigma' noise``; exact on a straight path.

    The last step goes all the way to the estimated clean latents. Draws no noise.
    """

    def walk(
        self, denoise: Denoise, latents: Tensor, times: Tensor, schedule: Schedule, noise: Noise
    ) -> Tensor:
        for t, t_next in itertools.pairwise(times):
            denoised = denoise(latents, t)
            if t_next == 0:  # the same on a straight path; elsewhere sigma' may have no limit
                return denoised.x0
            latents = latents + (t_next - t) * velocity(denoised, schedule, t)
        return latents
