"""Even steps and a last one of its own length (SiT, Ma et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.time_samplers import shifted
from vidiff.registry import register
from vidiff.samplers.spacing.base import Spacing


@register("sit")
class SiT(Spacing):
    """Evenly spaced times down to ``last_step``, then 0: the last step adds no noise.

    Args:
        last_step: time at which the last step starts, between 0 and 1.
        shift: moves times towards noise (above 1) or clean video (below 1).
    """

    def __init__(self, last_step: float = 0.04, shift: float = 1.0) -> None:
        if not 0 < last_step < 1:
            raise ValueError(f"last_step must be between 0 and 1, got {last_step}")
        self.last_step, self.shift = last_step, shift

    def __call__(self, num_steps: int, schedule: Schedule, start: float = 1.0) -> Tensor:
        times = torch.linspace(start, self.last_step, num_steps, dtype=torch.float64)
        times = shifted(torch.cat([times, times.new_zeros(1)]), self.shift)
        return times.clamp(max=start)
