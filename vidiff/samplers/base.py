"""What a sampler and a guidance promise."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.time_samplers import shifted
from vidiff.registry import kind

Denoise = Callable[[Tensor, Tensor], Denoised]
"""Noisy latents (b, c, f, h, w) and times (b,) to estimates of the clean latents and the noise."""

Noise = Callable[[], Tensor]
"""Fresh standard normal noise (b, c, f, h, w), each clip's from its own generator."""


@kind("sampler")
class Sampler(ABC):
    """Walks from noise to clean latents along a schedule.

    Args:
        num_steps: number of steps; each asks the network once, unless the class says otherwise.
        shift: moves the steps' times towards noise (above 1) or clean video (below 1).

    Raises:
        ValueError: if there is no step or ``shift`` is not positive.
    """

    def __init__(self, num_steps: int = 50, shift: float = 1.0) -> None:
        if num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {num_steps}")
        if shift <= 0:
            raise ValueError(f"shift must be positive, got {shift}")
        self.num_steps, self.shift = num_steps, shift

    def times(self, device: torch.device) -> Tensor:
        """From 1 to 0: (num_steps + 1,)."""
        even = torch.linspace(1, 0, self.num_steps + 1, device=device, dtype=torch.float32)
        return shifted(even, self.shift)

    @torch.no_grad()
    def __call__(
        self, denoise: Denoise, latents: Tensor, schedule: Schedule, noise: Noise
    ) -> Tensor:
        """Turn noise into clean latents.

        Args:
            denoise: the network, read by the objective and guided.
            latents: (b, c, f, h, w), standard normal.
            schedule: the one that the network was trained with.
            noise: gives fresh noise to samplers that draw any.

        Returns:
            (b, c, f, h, w).
        """
        times = self.times(latents.device)
        for t, t_next in itertools.pairwise(times):
            denoised = denoise(latents, t.expand(len(latents)))
            latents = self.step(denoised, latents, t, t_next, schedule, noise)
        return latents

    @abstractmethod
    def step(
        self,
        denoised: Denoised,
        latents: Tensor,
        t: Tensor,
        t_next: Tensor,
        schedule: Schedule,
        noise: Noise,
    ) -> Tensor:
        """From x_t to x_t_next; times are scalars."""


class MakeSampler(Protocol):
    """A sampler with everything set."""

    def __call__(self) -> Sampler: ...
