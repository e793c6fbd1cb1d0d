"""What a distance gives for two sets that lack nothing: real clips against real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidiff.evaluation_report import NoiseFloor

if TYPE_CHECKING:
    from vidiff_eval.metrics.base import SetMetric

LEAST = 4
"""Real clips that it takes to make two halves."""


def noise_floor(
    metric: SetMetric, real: Tensor, num_clips: int, *, repeats: int = 10, seed: int = 0
) -> NoiseFloor | None:
    """A metric's main score between disjoint parts of the real clips, drawn at random.

    A difference between two models that is smaller than this is no difference.

    Args:
        metric: the distance.
        real: features of real clips (N, …).
        num_clips: n of the generated side: the parts are as large, or half of the real clips.
        repeats: draws.
        seed: of the draws.

    Returns:
        None if there are too few real clips.

    Example:
        >>> from vidiff_eval.metrics import FVD
        >>> floor = noise_floor(FVD(), torch.zeros(8, 400), num_clips=4)
        >>> floor.mean, floor.num_clips, floor.is_upper_bound
        (0.0, 4, False)
    """
    size = min(num_clips, len(real) // 2)
    if len(real) < LEAST or size < metric.min_clips:
        return None
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(repeats):
        order = torch.randperm(len(real), generator=generator)
        parts = real[order[:size]], real[order[size : 2 * size]]
        values.append(metric.distance(*parts)[metric.scores[0]])
    found = torch.tensor(values, dtype=torch.float64)
    return NoiseFloor(
        num_clips=size,
        mean=found.mean().item(),
        quantile_95=found.quantile(0.95).item(),
        repeats=repeats,
        is_upper_bound=size < num_clips,
    )
