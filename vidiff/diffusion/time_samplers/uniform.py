"""Uniform times."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.time_samplers.base import TimeSampler
from vidiff.registry import register


@register("uniform")
class Uniform(TimeSampler):
    """Every time is as likely.

    Args:
        shift: above 1 moves times towards noise, below 1 towards clean video.
        stratified: spread the times of a batch evenly.
    """

    def quantile(self, u: Tensor) -> Tensor:
        return u
