"""Logit-normal times (Esser et al. 2024, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.time_samplers.base import TimeSampler
from vidiff.registry import register


@register("logit_normal")
class LogitNormal(TimeSampler):
    """The logit of t is normal: most times lie in the middle, few at the ends.

    Args:
        mean: of the logit; above 0 is towards noise.
        std: of the logit.
        shift: above 1 moves times towards noise; the same as adding its logarithm to ``mean``.
        stratified: spread the times of a batch evenly.

    Raises:
        ValueError: if ``std`` or ``shift`` is not positive.
    """

    def __init__(
        self, mean: float = 0.0, std: float = 1.0, shift: float = 1.0, stratified: bool = True
    ) -> None:
        super().__init__(shift, stratified)
        if std <= 0:
            raise ValueError(f"std must be positive, got {std}")
        self.mean, self.std = mean, std

    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))
