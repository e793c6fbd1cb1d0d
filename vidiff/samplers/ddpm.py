"""DDPM's ancestral sampling (Ho et al. 2020, algorithm 2)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from vidiff.checks import positive
from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.variance import log_variance, posterior
from vidiff.registry import register
from vidiff.samplers.base import Denoise, Noise, Sampler


@register("ddpm")
@dataclass(eq=False)
class DDPM(Sampler):
    """Draws each step from the posterior given the estimated clean latents.

    Between any two times of a variance-preserving schedule, as respaced sampling does (Nichol &
    Dhariwal 2021, section 4). Every step but the last draws noise, so it takes many of them.

    Args:
        num_steps: number of steps, each one call of the network; as many as the schedule has
            (1000) in the paper, 250 in DiT.
        variance: of the noise that is drawn: that of the posterior (``small``, the paper's beta
            tilde) or that of the step (``large``, its beta). A learned variance replaces both.
        clip: keeps the estimated clean latents within -clip and clip, which is above 0; 1 for a
            model of pixels, as in the paper; None leaves them as they are.
    """

    num_steps: int = 250
    variance: Literal["small", "large"] = "small"
    clip: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variance not in ("small", "large"):
            raise ValueError(f"variance must be small or large, got {self.variance!r}")
        positive(clip=self.clip)

    def incompatibility(self, schedule: Schedule) -> str | None:
        if schedule.variance_preserving:
            return None
        return "ancestral sampling needs alpha^2 + sigma^2 = 1"

    def walk(
        self, denoise: Denoise, latents: Tensor, times: Tensor, schedule: Schedule, noise: Noise
    ) -> Tensor:
        for t, t_next in itertools.pairwise(times):
            denoised = denoise(latents, t)
            x0 = denoised.x0 if self.clip is None else denoised.x0.clamp(-self.clip, self.clip)
            now, then = (x.to(latents.device).view(1) for x in (t, t_next))
            mean, smallest, largest = posterior(x0, latents, schedule, now, then)
            if t_next == 0:  # the last step adds no noise (algorithm 2, line 3)
                return mean.to(latents)
            if denoised.variance is not None:
                std = (log_variance(denoised.variance, smallest, largest) / 2).exp()
            else:
                std = (smallest if self.variance == "small" else largest).sqrt()
            latents = (mean + std * noise()).to(latents)
        return latents
