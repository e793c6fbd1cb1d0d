"""How many further seeds a verdict would need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidiff.ablation.judge.statistics.intervals import standard_error

MOST = 1_000
"""Further seeds beyond which the answer is "more than that"."""


def further_seeds(
    seed_differences: Sequence[float],
    num_comparisons: int = 1,
    *,
    per_seed_test: bool,
    level: float = 0.05,
) -> int | None:
    """Seeds to add until the interval is free of zero, if mean and spread stay what they are.

    The smallest n with t(1 - level / 2, n - 1) s / √n < |mean|, less those at hand. Mean and spread
    of few seeds are themselves unsure: with this many, a verdict is about as likely as not.

    Args:
        seed_differences: the mean difference of each seed at hand.
        num_comparisons: in the family that Holm's correction is made over.
        per_seed_test: whether the permutation test is only over seeds. Its p is at best 2 / 2^n,
            which has to be at most 0.05 after the correction.
        level: 1 less what the interval covers.

    Returns:
        Their number; None if ``MOST`` are too few, or if there are fewer than two at hand, whose
        spread is unknown.
    """
    from scipy.special import stdtrit

    at_hand = np.asarray(seed_differences, dtype=float)
    if len(at_hand) < 2:
        return None
    spread = standard_error(at_hand) * np.sqrt(len(at_hand))
    n = np.arange(len(at_hand), len(at_hand) + MOST + 1)
    enough = stdtrit(n - 1, 1 - level / 2) * spread / np.sqrt(n) < abs(at_hand.mean())
    if per_seed_test:
        enough &= num_comparisons * 2.0 ** (1 - n) <= 0.05
    return int(enough.argmax()) if enough.any() else None
