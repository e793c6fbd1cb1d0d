"""Log-normal noise levels (EDM, Karras et al. 2022, section 5 and table 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidiff.checks import positive
from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.time_samplers.base import TimeSampler
from vidiff.registry import register


@register("log_normal")
@dataclass(eq=False)
class LogNormal(TimeSampler):
    """The logarithm of ``sigma / alpha`` is normal, on any schedule.

    On ``rectified`` this is ``logit_normal`` with the same numbers.

    Args:
        mean: of the logarithm; -1.2 in the paper, for data with a standard deviation of 0.5.
        std: of the logarithm, above 0.
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(std=self.std)

    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        return schedule.time_at((self.mean + self.std * torch.special.ndtri(u)).exp())
