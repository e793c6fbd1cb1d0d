"""DDIM (Song et al. 2021, eq. 12)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import Tensor

from vidiff.checks import within
from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Denoise, Noise, Sampler


@register("ddim")
@dataclass(eq=False)
class DDIM(Sampler):
    """Noises the estimated clean latents to the next time, with the estimated noise or fresh one.

    Args:
        eta: share of fresh noise, in [0, 1]: 0 draws none, so that few steps are enough and the
            first noise decides the video; 1 is DDPM's ancestral sampling, which needs more steps.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within(0, 1, eta=self.eta)

    def walk(
        self, denoise: Denoise, latents: Tensor, times: Tensor, schedule: Schedule, noise: Noise
    ) -> Tensor:
        for t, t_next in itertools.pairwise(times):
            latents = self.noised(denoise(latents, t), t, t_next, schedule, noise)
        return latents

    def noised(
        self, denoised: Denoised, t: Tensor, t_next: Tensor, schedule: Schedule, noise: Noise
    ) -> Tensor:
        """The estimates at ``t`` as x at ``t_next``."""
        sigma_next = schedule.sigma(t_next)
        known = schedule.alpha(t_next) * denoised.x0
        if self.eta == 0 or sigma_next == 0:
            return known + sigma_next * denoised.noise
        # Eq. 16 with any schedule: the variance of x_t_next given x_t and x_0, times eta^2.
        ratio = schedule.alpha(t) / schedule.alpha(t_next)
        variance = 1 - (ratio * sigma_next / schedule.sigma(t)).square()
        fresh = self.eta * sigma_next * variance.clamp(min=0).sqrt()
        kept = (sigma_next.square() - fresh.square()).clamp(min=0).sqrt()
        return known + kept * denoised.noise + fresh * noise()
