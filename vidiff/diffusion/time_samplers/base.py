"""Time sampler interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vidiff.checks import positive
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import kind


@kind("time_sampler")
@dataclass(eq=False, kw_only=True)
class TimeSampler(ABC):
    """Which diffusion times are trained on.

    Args:
        shift: moves times towards noise (above 1) or clean video (0 to 1), see ``shifted``.
        stratified: spread the times of a batch evenly over the distribution, instead of drawing
            them independently: each keeps its distribution, and the batch's loss varies less
            (Kingma et al. 2021, appendix I.1).
    """

    shift: float = 1.0
    stratified: bool = True

    def __post_init__(self) -> None:
        positive(shift=self.shift)

    @abstractmethod
    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        """The time below which a share ``u`` of all times lies, before the shift; in [0, 1]."""

    def __call__(self, batch_size: int, device: torch.device, schedule: Schedule) -> Tensor:
        """Draw times for training on a schedule: (b,), float32."""
        u = torch.rand(batch_size, device=device, dtype=torch.float32)
        if self.stratified:
            u = (torch.arange(batch_size, device=device) + u) / batch_size
        return shifted(self.quantile(u, schedule), self.shift)

    def draw(self, latents: Tensor, schedule: Schedule) -> Tensor:
        """Times for training on latents (b, c, f, h, w): (b,), or (b, f) for one per frame."""
        return self(len(latents), latents.device, schedule)


class MakeTimeSampler(Protocol):
    """A time sampler with everything set."""

    def __call__(self) -> TimeSampler: ...


def shifted(t: Tensor, shift: float) -> Tensor:
    """``shift t / (1 + (shift - 1) t)``, time for a larger frame (Esser et al. 2024, eq. 23)."""
    return shift * t / (1 + (shift - 1) * t)
