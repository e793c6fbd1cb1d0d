"""DDIM (Song et al. 2021, eq. 12)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Noise, OneStepSampler
from vidiff.samplers.spacing import Even, MakeSpacing


@register("ddim")
class DDIM(OneStepSampler):
    """Noises the estimated clean latents to the next time, with the estimated noise or fresh one.

    Args:
        num_steps: number of steps, each one call of the network.
        spacing: where they stand in time.
        eta: share of fresh noise: 0 draws none, so that few steps are enough and the first noise
            decides the video; 1 is DDPM's ancestral sampling, which needs more steps.

    Raises:
        ValueError: if ``eta`` is outside [0, 1].
    """

    def __init__(
        self,
        num_steps: int = 50,
        spacing: MakeSpacing = Even,
        eta: float = 0.0,
    ) -> None:
        super().__init__(num_steps, spacing)
        if not 0 <= eta <= 1:
            raise ValueError(f"eta must be within [0, 1], got {eta}")
        self.eta = eta

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
