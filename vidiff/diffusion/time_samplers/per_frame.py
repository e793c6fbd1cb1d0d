"""A time of its own for each frame (diffusion forcing, Chen et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.time_samplers.base import MakeTimeSampler, TimeSampler
from vidiff.diffusion.time_samplers.uniform import Uniform
from vidiff.registry import register


@register("per_frame")
class PerFrame(TimeSampler):
    """Independent times for the latent frames of a clip.

    A model trained so denoises any frames given any others, each as noisy as it likes.

    Args:
        times: what each frame's time is drawn from.
    """

    def __init__(self, times: MakeTimeSampler = Uniform) -> None:
        self.times = times()
        super().__init__(shift=self.times.shift, stratified=self.times.stratified)

    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        return self.times.quantile(u, schedule)

    def draw(self, latents: Tensor, schedule: Schedule) -> Tensor:
        b, _, f, _, _ = latents.shape
        drawn = self(b * f, latents.device, schedule)
        # Stratified times lie in order: shuffled, they say nothing of each other.
        return drawn[torch.randperm(b * f, device=latents.device)].view(b, f)
