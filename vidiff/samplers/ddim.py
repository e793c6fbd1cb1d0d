"""DDIM (Song et al. 2021, eq. 12)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vidiff.checks import within
from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Noise, OneStepSampler


@register("ddim")
@dataclass(eq=False)
class DDIM(OneStepSampler):
    """Noises the estimated clean latents to the next time, with the estimated noise or fresh one.

    Args:
        eta: share of fresh noise, in [0, 1]: 0 draws none, so that few steps are enough and the
            first noise decides the video; 1 is DDPM's ancestral sampling, which needs more steps.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        within(0, 1, eta=self.eta)

    def step(
        self,
        denoised: Denoised,
        latents: Tensor,
        t: Tensor,
        t_next: Tensor,
        schedule: Schedule,
        noise: Noise,
    ) -> Tensor:
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
