"""Values of one metric in one cell, and the table that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

Observations = Mapping[int, np.ndarray]
"""Values of one metric in one cell, by seed: (num_prompts,), or one of a metric of whole sets.

Entry p is of the same prompt and the same noise in every cell and seed; NaN where it is missing.
"""


def table(
    observations: Observations, seeds: Sequence[int], num_prompts: int | None = None
) -> np.ndarray:
    """The values as (num_seeds, num_prompts), NaN for what is missing or not finite.

    A shorter array lacks the last prompts; by default there are as many as the longest has.
    """
    if num_prompts is None:
        num_prompts = longest([observations])
    rows = np.full((len(seeds), num_prompts), np.nan)
    for row, seed in zip(rows, seeds, strict=True):
        if seed in observations:
            values = np.asarray(observations[seed], dtype=float)
            assert values.ndim == 1, f"one value a prompt, got shape {values.shape}"
            row[: len(values)] = values
    return np.where(np.isfinite(rows), rows, np.nan)


def all_seeds(cells: Iterable[Observations]) -> list[int]:
    """Every seed that some cell has, in order."""
    return sorted({seed for observations in cells for seed in observations})


def longest(cells: Iterable[Observations]) -> int:
    """The number of prompts of the cell that has most."""
    return max((len(values) for each in cells for values in each.values()), default=0)


def seed_means(values: np.ndarray) -> np.ndarray:
    """(num_seeds, num_prompts) to means over the prompts there are, of the seeds that have any."""
    seen = np.isfinite(values)
    some = seen.any(axis=1)
    sums = np.where(seen, values, 0.0).sum(axis=1)
    return np.asarray(sums[some] / seen.sum(axis=1)[some])
