"""Holm's correction: many comparisons, and still at most 5 % odds of any false alarm."""

from __future__ import annotations

import math
from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values, in the same order (Holm 1979): reject those that are below the level.

    The k-th smallest of m is multiplied by m - k + 1, never less than the one before, at most 1.

    Args:
        p_values: None and NaN stay as they are, and do not count.
    """
    adjusted = list(p_values)
    known = [(p, i) for i, p in enumerate(p_values) if p is not None and not math.isnan(p)]
    least = 0.0
    for rank, (p, i) in enumerate(sorted(known)):
        least = max(least, min(1.0, (len(known) - rank) * p))
        adjusted[i] = least
    return adjusted
