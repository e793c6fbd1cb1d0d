"""Heun's method with churn (EDM, Karras et al. 2022, algorithms 1 and 2)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vidiff.checks import at_least
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Denoise, Noise, Sampler, velocity


@register("heun")
@dataclass(eq=False)
class Heun(Sampler):
    """Second order: the mean of the slopes at both ends of a step along the probability flow.

    With churn, each step starts by adding noise, which forgets errors of the steps before; noise
    levels are ``sigma / alpha``, and none is raised above that of t = 1. On the schedule ``edm``
    with the spacing ``karras`` this is the paper's sampler. The last step, of first order as there,
    goes all the way to the estimated clean latents.

    Args:
        num_steps: number of steps, each two calls of the network, but for the last, which is one.
        s_churn: how much noise is added over all steps; 0 adds none. None of the four is negative.
        s_tmin: noise level below which none is added.
        s_tmax: noise level above which none is added.
        s_noise: standard deviation of the noise that is added; a little above 1 makes up for
            detail that the network takes away.
    """

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, s_churn=self.s_churn, s_tmin=self.s_tmin)
        at_least(0, s_tmax=self.s_tmax, s_noise=self.s_noise)

    def walk(
        self, denoise: Denoise, latents: Tensor, times: Tensor, schedule: Schedule, noise: Noise
    ) -> Tensor:
        for start, t_next in itertools.pairwise(times):
            latents, t = self.churned(latents, start, schedule, noise)
            denoised = denoise(latents, t)
            if t_next == 0:  # the same on a straight path; elsewhere sigma' may have no limit
                return denoised.x0
            slope = velocity(denoised, schedule, t)
            moved = latents + (t_next - t) * slope
            slope_next = velocity(denoise(moved, t_next), schedule, t_next)
            latents = latents + (t_next - t) * (slope + slope_next) / 2
        return latents

    def churned(
        self, latents: Tensor, t: Tensor, schedule: Schedule, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """More noise, and the time that goes with it (algorithm 2, lines 3 to 6)."""
        level = schedule.noise_ratio(t)
        gamma = min(self.s_churn / self.num_steps, math.sqrt(2) - 1)
        if gamma == 0 or t == 1 or not self.s_tmin <= level <= self.s_tmax:
            return latents, t
        raised = torch.maximum(t, schedule.time_at((1 + gamma) * level))
        ratio = schedule.alpha(raised) / schedule.alpha(t)
        added = schedule.sigma(raised).square() - (ratio * schedule.sigma(t)).square()
        return ratio * latents + self.s_noise * added.clamp(min=0).sqrt() * noise(), raised
