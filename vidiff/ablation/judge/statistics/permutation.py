"""A paired permutation test: under the null, each unit's difference could as well be its negative.

Nothing is assumed of how differences are distributed, but that units are independent and, if
nothing helped, symmetric around zero (Fisher 1935, section 21). ``scipy.stats.permutation_test``
gives the same p of few units, which a test compares; of many it is ten times as slow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EXACT = 14
"""Units up to which all 2^n flips are tried."""

FLIPS = 10_000
"""Flips at random where there are more units."""

AT_ONCE = 2**21
"""Signs that are held at once."""


@dataclass(frozen=True)
class SignFlips:
    """The two-sided p, the number of flips that were tried, and whether these are all."""

    p: float
    num_flips: int
    exact: bool


def sign_flips(units: np.ndarray, seed: int = 0) -> SignFlips:
    """How often the signs of units, flipped, sum to at least as much: the two-sided p.

    Args:
        units: (n,), what each unit adds to the mean difference.
        seed: of flips at random: equal units give equal p.

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
    """The sums of units (n,) with all signs: (2^n,)."""
    sums = np.zeros(1)
    for unit in units:
        sums = np.concatenate([sums + unit, sums - unit])
    return sums
