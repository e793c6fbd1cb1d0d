"""Even steps of time."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.checks import positive
from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.time_samplers import shifted
from vidiff.registry import register
from vidiff.samplers.spacing.base import Spacing


@register("even")
class Even(Spacing):
    """Evenly spaced times, moved towards one end by a shift (Esser et al. 2024, eq. 23).

    Args:
        shift: moves times towards noise (above 1) or clean video (0 to 1).
    """

    def __init__(self, shift: float = 1.0) -> None:
        positive(shift=shift)
        self.shift = shift

    def __call__(self, num_steps: int, schedule: Schedule, start: float = 1.0) -> Tensor:
        times = torch.linspace(start, 0, num_steps + 1, dtype=torch.float64)
        return shifted(times, self.shift).clamp(max=start)
