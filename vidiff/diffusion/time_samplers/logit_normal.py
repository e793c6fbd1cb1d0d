"""Logit-normal times (Esser et al. 2024, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidiff.checks import positive
from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.time_samplers.base import TimeSampler
from vidiff.registry import register


@register("logit_normal")
@dataclass(eq=False)
class LogitNormal(TimeSampler):
    """The logit of t is normal: most times lie in the middle, few at the ends.

    A ``shift`` is the same as adding its logarithm to ``mean``.

    Args:
        mean: of the logit; above 0 is towards noise.
        std: of the logit, above 0.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(std=self.std)

    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))
