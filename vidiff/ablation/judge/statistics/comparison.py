"""What paired differences say, by two questions.

- *Would other prompts say the same?* A permutation test: the signs of whole prompts are flipped, of
  all seeds together. Prompts and noise are the same in every seed, so a prompt that suits a cell
  suits it in each of them; flipping each pair of seed and prompt by itself would take that for
  agreement of independent witnesses. It speaks of the models that were trained, no others.
- *Would other seeds say the same?* Student's interval over the seeds' mean differences. It speaks
  of the method, on these prompts.

The losses of validation clips are paired and tested in the same way, by clips instead of prompts. A
metric of whole sets has one value a seed, and both are then over seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vidiff.ablation.judge.statistics.intervals import AT_ONCE, seed_means, student, student_p

Verdict = Literal["better", "worse", "cannot tell"]
Units = Literal["prompts", "clips", "seeds"]
"""What was repeated: ``seeds`` where each of them gives only one value."""

EXACT = 14
"""Units up to which all 2^n flips are tried."""

FLIPS = 10_000
"""Flips at random where there are more units."""


@dataclass(frozen=True)
class Comparison:
    """A difference in one metric, and what it says.

    Attributes:
        difference: mean over seeds of the seeds' mean differences, cell less baseline; NaN where
            nothing can be paired.
        interval: around it, over seeds; None for fewer than two.
        p: of the permutation test, two-sided; None where nothing can be paired.
        p_seeds: of Student's t over seeds, two-sided; None for fewer than two.
        num_pairs: of seed and prompt that both sides have, as ``num_seeds`` of seeds.
        num_units: whose signs the test flips: ``units``.
        p_holm: p after Holm's correction over the family that was judged together.
        further_seeds: needed to tell, if mean and spread stay what they are; 0 where a verdict is
            found, None where no number of seeds is known to be enough.
    """

    difference: float
    interval: tuple[float, float] | None
    method: str
    p: float | None
    p_method: str
    p_seeds: float | None
    num_seeds: int
    num_pairs: int
    num_units: int
    units: Units
    seed_differences: tuple[float, ...]
    higher_is_better: bool
    p_holm: float | None = None
    further_seeds: int | None = None
    verdict: Verdict = "cannot tell"
    reason: str = "Not judged yet."


def of_differences(
    differences: np.ndarray, *, higher_is_better: bool, units: Units = "prompts"
) -> Comparison:
    """The comparison of paired differences (num_seeds, num_prompts), not yet judged.

    They are NaN where a side has no value. ``units``: the columns, where there are several.
    """
    seen = np.isfinite(differences)
    seen, differences = seen[seen.any(axis=1)], differences[seen.any(axis=1)]
    means = seed_means(differences)
    num_seeds, num_prompts = len(means), int(seen.any(axis=0).sum())
    units = units if num_prompts > 1 else "seeds"
    interval, p_seeds, method = None, None, "no interval of fewer than two seeds"
    if num_seeds > 1:
        interval, p_seeds = student(means), student_p(means)
        method = f"Student's t over {num_seeds} seeds"
    p, p_method = None, "nothing to pair"
    if num_seeds:
        # What each pair adds to the difference: seeds weigh the same, whatever they lack.
        shares = np.where(seen, differences, 0.0) / (num_seeds * seen.sum(axis=1, keepdims=True))
        flips = sign_flips(shares.sum(axis=1 if units == "seeds" else 0))
        tried = f"all {flips.num_flips:,}" if flips.exact else f"{flips.num_flips:,} at random"
        p, p_method = flips.p, f"sign flips of {units}, {tried}"
    return Comparison(
        difference=float(means.mean()) if num_seeds else math.nan,
        interval=interval,
        method=method,
        p=p,
        p_method=p_method,
        p_seeds=p_seeds,
        num_seeds=num_seeds,
        num_pairs=int(seen.sum()),
        num_units=num_seeds if units == "seeds" else num_prompts,
        units=units,
        seed_differences=tuple(float(one) for one in means),
        higher_is_better=higher_is_better,
    )


@dataclass(frozen=True)
class SignFlips:
    """The two-sided p, the number of flips that were tried, and whether these are all."""

    p: float
    num_flips: int
    exact: bool


def sign_flips(units: np.ndarray, seed: int = 0) -> SignFlips:
    """How often the signs of units (n,), flipped, sum to at least as much: the two-sided p.

    A paired permutation test: it assumes that units are independent and, if nothing helped,
    symmetric around zero (Fisher 1935, section 21). ``scipy.stats.permutation_test`` gives the same
    p of few units, which a test compares; of many it is ten times as slow.

    All flips are tried where few units are not zero (a zero's sign changes no sum). Else the flips
    are random and the one that was observed counts as one of them, so that p is never 0 and the
    test is never too bold: p = (1 + count) / (1 + flips) (Phipson & Smyth 2010).
    """
    total = units.sum()
    units = units[units != 0]
    # Sums that are equal but for the order of rounding are equal.
    least = abs(total) - 1e-10 * np.abs(units).sum()
    if len(units) <= EXACT:
        return SignFlips(float((np.abs(_all_sums(units)) >= least).mean()), 2 ** len(units), True)
    generator = np.random.default_rng(seed)
    rows, count = max(1, AT_ONCE // len(units)), 0
    for start in range(0, FLIPS, rows):
        size = min(rows, FLIPS - start), -(-len(units) // 8)
        packed = generator.integers(256, size=size, dtype=np.uint8)
        kept = np.unpackbits(packed, axis=1, count=len(units)).astype(float)
        count += int((np.abs(2 * (kept @ units) - units.sum()) >= least).sum())
    return SignFlips((1 + count) / (1 + FLIPS), FLIPS, False)


def smallest_p(num_units: int) -> float:
    """The least p that this test can give of so many units: only all or none flipped is as much."""
    return 1 / (1 + FLIPS) if num_units > EXACT else 2.0 ** (1 - num_units)


def _all_sums(units: np.ndarray) -> np.ndarray:
    sums = np.zeros(1)
    for unit in units:
        sums = np.concatenate([sums + unit, sums - unit])
    return sums
