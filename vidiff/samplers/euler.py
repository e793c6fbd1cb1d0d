"""Euler's method on the probability flow (Lipman et al. 2023; Ma et al. 2024, SiT)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Noise, Sampler


@register("euler")
class Euler(Sampler):
    """Straight steps along ``dx / dt = alpha' x_0 + sigma' noise``; exact on a straight path.

    Args:
        num_steps: number of steps.
        shift: above 1 moves the steps' times towards noise, below 1 towards clean video.
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
        slope_sample, slope_noise = schedule.alpha_derivative(t), schedule.sigma_derivative(t)
        velocity = slope_sample * denoised.sample + slope_noise * denoised.noise
        return latents + (t_next - t) * velocity
