"""Log-normal noise levels (EDM, Karras et al. 2022, section 5 and table 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.time_samplers.base import TimeSampler
from vidiff.registry import register


@register("log_normal")
class LogNormal(TimeSampler):
    """The logarithm of ``sigma / alpha`` is normal, on any schedule.

    On ``rectified`` this is ``logit_normal`` with the same numbers.

    Args:
        mean: of the logarithm; -1.2 in the paper, for data with a standard deviation of 0.5.
        std: of the logarithm.
        shift: above 1 moves times towards noise, below 1 towards clean video.
        stratified: spread the times of a batch evenly.

    Raises:
        ValueError: if ``std`` or ``shift`` is not positive.
    """

    def __init__(
        self, mean: float = -1.2, std: float = 1.2, shift: float = 1.0, stratified: bool = True
    ) -> None:
        super().__init__(shift, stratified)
        if std <= 0:
            raise ValueError(f"std must be positive, got {std}")
        self.mean, self.std = mean, std

    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        return schedule.time_at((self.mean + self.std * torch.special.ndtri(u)).exp())
