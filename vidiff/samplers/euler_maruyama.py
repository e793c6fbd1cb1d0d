"""Euler-Maruyama on the reverse-time SDE of an interpolant (SiT, Ma et al. 2024)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from vidiff.checks import at_least
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Denoise, Noise, Sampler, velocity
from vidiff.samplers.spacing import MakeSpacing, SiT

Diffusion = Literal["sbdm", "sigma", "linear", "constant", "decreasing", "increasing_decreasing"]


@register("euler_maruyama")
@dataclass(eq=False)
class EulerMaruyama(Sampler):
    """Steps along the probability flow, taking noise away and adding as much of it anew.

    ``dx = velocity dt - w / 2 score dt + sqrt(w) dW`` backwards in time has the distributions of
    the flow for any w(t), which is chosen when sampling: above 0 it forgets errors of the network,
    and needs more steps. The last step takes the mean, without noise.

    Args:
        num_steps: number of steps, each one call of the network; 250 in the paper.
        diffusion: half of w(t), as SiT's code names it: ``sbdm`` is that of the diffusion process
            with this schedule, ``sigma`` the schedule's sigma, ``linear`` t, ``constant`` 1,
            ``decreasing`` ``(1 - scale cos(pi t))^2 / 4``, ``increasing_decreasing``
            ``sin(pi t)^2``.
        scale: its factor, 0 or more; 0 draws no noise and is Euler's method, except with
            ``decreasing``.
    """

    num_steps: int = 250
    spacing: MakeSpacing = SiT
    diffusion: Diffusion = "sigma"
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.diffusion not in get_args(Diffusion):
            known = ", ".join(get_args(Diffusion))
            raise ValueError(f"diffusion must be one of {known}, got {self.diffusion!r}")
        at_least(0, scale=self.scale)

    def times(self, schedule: Schedule) -> Tensor:
        """From where ``sbdm`` is finite, as SiT does."""
        start = schedule.margins[1] if self.diffusion == "sbdm" else 1.0
        return self.spaced(self.num_steps, schedule, start)

    def walk(
        self, denoise: Denoise, latents: Tensor, times: Tensor, schedule: Schedule, noise: Noise
    ) -> Tensor:
        for t, t_next in itertools.pairwise(times):
            denoised, half = denoise(latents, t), self.half_diffusion(t, schedule)
            score = denoised.noise / -schedule.sigma(t)
            drift = velocity(denoised, schedule, t) - half * score
            latents = latents + (t_next - t) * drift
            if half > 0 and t_next > 0:
                latents = latents + (2 * half * (t - t_next)).sqrt() * noise()
        return latents

    def half_diffusion(self, t: Tensor, schedule: Schedule) -> Tensor:
        """``w(t) / 2``."""
        if self.diffusion == "decreasing":
            return (1 - self.scale * (math.pi * t).cos()).square() / 4
        if self.diffusion == "sbdm":
            # w is the rate of g^2 = d(sigma^2) / dt - 2 sigma^2 d(log alpha) / dt.
            alpha, sigma = schedule.alpha(t), schedule.sigma(t)
            growth = schedule.sigma_derivative(t) * sigma
            return self.scale * (growth - sigma.square() * schedule.alpha_derivative(t) / alpha)
        forms = {
            "sigma": schedule.sigma(t), "linear": t, "constant": torch.ones_like(t),
            "increasing_decreasing": (math.pi * t).sin().square(),
        }  # fmt: skip
        return self.scale * forms[self.diffusion]
