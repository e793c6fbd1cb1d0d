"""Intervals of distances between sets: the delete-a-group jackknife over clips, of both sides.

A distance of n clips scatters around its expectation *at that n*, and that is what these intervals
cover, with near 95 % of samples: another sample as large would give a score within them. They say
nothing of the distance at infinitely many clips, which a Fréchet distance lies above, see
``extrapolation``.

The bootstrap does not serve: drawn with replacement, clips occur twice, which lowers the rank of
covariances and so raises every replicate above the point estimate; its interval can exclude that
(512 clips of 64 dimensions: 4.3, interval 7.7 to 8.8). The jackknife only ever leaves clips out:
for either side, the distance is taken again without each of up to ``GROUPS`` groups of clips, and

    variance = (g - 1) / g · sum of (value without a group - mean of those)²        (Efron 1979)

Both sides are independent, so their variances add. By Efron and Stein's inequality (1981) it is
too large rather than too small on average. In simulation
(``tests/evaluation/statistics/test_intervals.py``) intervals of Fréchet distances cover between
0.95 and 1 for Gaussians of 8 to 64 dimensions and 8 to 256 clips, fewer clips than dimensions
among them, and about 0.86 to 0.96 where clips have very heavy tails (Student's t with 5 degrees of
freedom, one scale a clip). They are up to 1.5 times too wide where both sides have the same
distribution.

Clips count as independent. Several clips of one video are not: intervals are then too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vidiff_eval.statistics.intervals import student_975

GROUPS = 24
"""Groups of clips of each side; with fewer clips, each is a group."""

LEAST = 4
"""Clips of each side that an interval needs."""

Scale = Literal["log", "linear"]
Statistic = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True)
class LeftOut:
    """A distance taken again without each group of clips.

    Attributes:
        real: without each group of real clips (g,).
        generated: without each group of generated clips (h,).
    """

    real: Tensor
    generated: Tensor

    @property
    def method(self) -> str:
        """In words, for reports."""
        return f"jackknife over {len(self.real)} and {len(self.generated)} groups of clips"


def group(num_clips: int, most: int = GROUPS, seed: int = 0) -> Tensor:
    """To which of up to ``most`` groups of equal size each clip belongs (num_clips,), at random.

    Example:
        >>> group(6, most=3).bincount().tolist()
        [2, 2, 2]
    """
    order = torch.randperm(num_clips, generator=torch.Generator().manual_seed(seed))
    return order % min(most, num_clips)


def leave_out(
    statistic: Statistic, real: Tensor, generated: Tensor, most: int = GROUPS
) -> LeftOut | None:
    """A statistic of both sides' clips (n, …), (m, …) without each group; None of too few clips.

    Example:
        >>> def mean_gap(real, generated):
        ...     return (generated.mean() - real.mean()).item()
        >>> generated = torch.tensor([[0.0], [3.0], [6.0], [9.0]])
        >>> left_out = leave_out(mean_gap, torch.zeros(4, 1), generated)
        >>> sorted(left_out.generated.tolist())
        [3.0, 4.0, 5.0, 6.0]
    """
    if min(len(real), len(generated)) < LEAST:
        return None
    real_groups, generated_groups = group(len(real), most), group(len(generated), most)
    without_real = [statistic(real[real_groups != g], generated) for g in real_groups.unique()]
    without_generated = [
        statistic(real, generated[generated_groups != g]) for g in generated_groups.unique()
    ]
    found = (without_real, without_generated)
    return LeftOut(*(torch.tensor(values, dtype=torch.float64) for values in found))


def interval(
    value: float,
    left_out: LeftOut | None,
    scale: Scale = "linear",
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float] | None:
    """The 95 % interval around a distance; None where nothing can be said.

    Args:
        value: of all clips.
        left_out: without groups of them.
        scale: ``log`` for what is positive, as a Fréchet distance: it has a longer tail upwards,
            and the interval never reaches zero. Where the value is zero, the scale is linear.
        bounds: that the interval is cut at.

    Example:
        >>> same = torch.full((4,), 2.0)
        >>> interval(2.0, LeftOut(same, same))
        (2.0, 2.0)
        >>> print(interval(2.0, None))
        None
    """
    if left_out is None or not math.isfinite(value):
        return None
    sides: Sequence[Tensor] = [left_out.real.double(), left_out.generated.double()]
    if not all(bool(side.isfinite().all()) for side in sides):
        return None
    positive = value > 0 and all(bool((side > 0).all()) for side in sides)
    if scale == "log" and positive:
        half = _half_width([side.log() for side in sides])
        return value * math.exp(-half), value * math.exp(half)
    low, high = (0.0, math.inf) if scale == "log" else bounds
    half = _half_width(sides)
    return max(value - half, low), min(value + half, high)


def _half_width(sides: Sequence[Tensor]) -> float:
    """Half an interval's width, with degrees of freedom as Welch and Satterthwaite count them."""
    freedom = [len(side) - 1 for side in sides]
    variances = [
        side.var(correction=0).item() * count for side, count in zip(sides, freedom, strict=True)
    ]
    total = sum(variances)
    if total == 0:
        return 0.0
    parts = (v * v / count for v, count in zip(variances, freedom, strict=True))
    return student_975(total * total / sum(parts)) * math.sqrt(total)
