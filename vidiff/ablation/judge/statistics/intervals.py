"""Means of a cell, and their 95 % intervals.

With several seeds the interval is Student's t over the seeds' means: other trainings, measured on
these prompts. With one seed only prompts were repeated, and it is a bootstrap over them: this
trained model, on other prompts.

``scipy.stats`` has the same methods, and tests compare with it. It is not used: for equal values it
gives NaN, or a width of rounding error, where the answer here is no interval, or exactly zero; the
last digit of its intervals differs; and importing it takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
"""Of the bootstrap."""

AT_ONCE = 2**21
"""Random numbers that are held at once."""

Interval = tuple[float, float]

Observations = Mapping[int, np.ndarray]
"""Values of one metric in one cell, by seed: (num_prompts,), or one of a metric of whole sets.

Entry p is of the same prompt and the same noise in every cell and seed; NaN where it is missing.
"""


@dataclass(frozen=True)
class Estimate:
    """The mean over seeds of the seeds' means over prompts; NaN where there is no value.

    Its interval is None where nothing was repeated, or all prompts are equal. ``num_prompts``: that
    have a value in some seed; 1 for a metric of whole sets.
    """

    value: float
    interval: Interval | None
    method: str
    num_seeds: int
    num_prompts: int


def mean(
    observations: Observations,
    *,
    limits: tuple[float, float] | None = None,
    seed: int = 0,
    units: str = "prompts",
) -> Estimate:
    """A cell's mean, with its interval, which ends at ``limits``, such as (0, 1) for a share."""
    values = table(observations, sorted(observations))
    means = seed_means(values)
    num_seeds, num_prompts = len(means), int(np.isfinite(values).any(axis=0).sum())
    if not num_seeds:
        return Estimate(math.nan, None, "no value", 0, 0)
    interval: Interval | None
    if num_seeds > 1:
        interval, method = student(means), f"Student's t over {num_seeds} seeds"
    elif num_prompts > 1:
        seen = values[np.isfinite(values)]
        interval = bootstrap(seen, seed)
        method = f"bootstrap over {num_prompts} {units}, one seed"
        if interval is None:
            method = f"all {num_prompts} {units} have the same value, one seed"
    else:
        interval, method = None, "one value"
    if interval is not None and limits is not None:
        low, high = np.clip(interval, *limits)
        interval = float(low), float(high)
    return Estimate(float(means.mean()), interval, method, num_seeds, num_prompts)


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


def student(values: np.ndarray, level: float = 0.05) -> Interval:
    """Student's interval of the mean of at least two values (n,), by default that of 95 %."""
    from scipy.special import stdtrit

    centre, error = float(values.mean()), standard_error(values)
    half = float(stdtrit(len(values) - 1, 1 - level / 2)) * error
    return centre - half, centre + half


def student_p(values: np.ndarray) -> float:
    """Two-sided p of the mean of at least two values (n,) being zero, by Student's t.

    It is below 0.05 exactly where the interval of 95 % is free of zero.
    """
    from scipy.special import stdtr

    centre, error = float(values.mean()), standard_error(values)
    if error == 0:
        return 1.0 if centre == 0 else 0.0
    return float(2 * stdtr(len(values) - 1, -abs(centre) / error))


def standard_error(values: np.ndarray) -> float:
    """Of the mean of values (n,); exactly 0 where all are equal, whatever rounding makes of it."""
    if np.ptp(values) == 0:
        return 0.0
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def bootstrap(values: np.ndarray, seed: int = 0) -> Interval | None:
    """The BCa interval of 95 % of the mean of values (n,); None where all are equal.

    Bias-corrected and accelerated (Efron 1987), which suits skewed values and shares near 0 or 1.
    Resampling says nothing of values that are all equal, such as a share of 100 %: no interval,
    rather than one of width zero.
    """
    from scipy.special import ndtr, ndtri

    if np.ptp(values) == 0:
        return None
    means = np.sort(_resampled_means(values, np.random.default_rng(seed)))
    centre = values.mean()
    # Resampled shares often equal the mean itself: half of those count as below it.
    slack = 1e-12 * np.abs(values).max()
    below = ((means < centre - slack).mean() + (means <= centre + slack).mean()) / 2
    bias = ndtri(below)
    # Efron & Tibshirani 1993, equation 14.15; of a mean, skewness of the values / (6 √n).
    deviations = values - centre
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    z = bias + ndtri(np.array([0.025, 0.975]))
    low, high = np.quantile(means, ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


def _resampled_means(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Means of as many values, drawn with replacement: (RESAMPLES,)."""
    rows = max(1, AT_ONCE // len(values))
    numbers = [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]
    draws = (generator.integers(len(values), size=(n, len(values))) for n in numbers)
    return np.concatenate([values[draw].mean(axis=1) for draw in draws])
