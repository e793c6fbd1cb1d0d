"""How sure a share is."""

from __future__ import annotations

from math import sqrt

Z_95 = 1.959963984540054
"""The standard normal's 97.5 % quantile."""


def wilson(successes: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927): right even near 0 and 1, never outside.

    Raises:
        ValueError: unless 0 <= successes <= total and total >= 1.
    """
    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"a share needs 0 <= successes <= total >= 1, got {successes} of {total}")
    share = successes / total
    scale = 1 + Z_95**2 / total
    centre = (share + Z_95**2 / (2 * total)) / scale
    half = Z_95 / scale * sqrt(share * (1 - share) / total + Z_95**2 / (4 * total**2))
    # At the ends the two terms cancel exactly but for rounding.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == total else centre + half
    return low, high
