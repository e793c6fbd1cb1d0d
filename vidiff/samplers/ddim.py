"""DDIM (Song et al. 2021, eq. 12)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Noise, OneStepSampler


@register("ddim")
class DDIM(OneStepSampler):
    """Noises the estimated clean latents to the next time, with the estimated noise or fresh one.

    Args:
        num_steps: number of steps, each one call of the network.
        shift: above 1 moves the steps' times towards noise, below 1 towards clean video.
        eta: share of fresh noise: 0 draws none, so that few steps are enough and the first noise
            decides the video; 1 is DDPM's ancestral sampling, which needs more steps.
        rho: a number spaces noise levels as EDM does; None spaces times evenly.
        sigma_range: with ``rho``, the last noise level before 0 and the first.

    Raises:
        ValueError: if ``eta`` is outside [0, 1].
    """

    def __init__(
        self,
        num_steps: int = 50,
        shift: float = 1.0,
        eta: float = 0.0,
        rho: float | None = None,
        sigma_range: tuple[float, float] = (0.002, 80.0),
    ) -> None:
        super().__init__(num_steps, shift, rho, sigma_range)
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
