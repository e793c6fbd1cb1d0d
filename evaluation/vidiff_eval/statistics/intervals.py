"""How sure a mean or a share over clips is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from vidiff.evaluation_report import Score

Z_95 = 1.959963984540054
"""The standard normal's 97.5 % quantile."""


def wilson(successes: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927): right even near 0 and 1, never outside.

    Raises:
        ValueError: unless 0 <= successes <= total and total >= 1.

    Example:
        >>> low, high = wilson(10, 10)
        >>> round(low, 4), high  # low is n / (n + z²)
        (0.7225, 1.0)
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


def student_975(freedom: float) -> float:
    """The 97.5 % quantile of Student's t.

    Example:
        >>> round(student_975(9), 3)
        2.262
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def tally(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """What the means of named scores follow from; sums of sums are sums.

    Args:
        rows: what was found of each clip; a value that is None or not finite does not count.
        names: of the scores, which every row has.

    Returns:
        ``num_clips``; and of each score the number of its values, of those that are true or false,
        the sum and the sum of squares. No rows give zeros.

    Example:
        >>> tally([{"x": 1.0}, {"x": 3.0}, {"x": None}], ["x"])
        {'num_clips': 3.0, 'x.count': 2.0, 'x.flags': 0.0, 'x.sum': 4.0, 'x.squares': 10.0}
    """
    sums = {"num_clips": float(len(rows))}
    for name in names:
        values = [row[name] for row in rows]
        values = [value for value in values if value is not None and math.isfinite(value)]
        sums[f"{name}.count"] = float(len(values))
        sums[f"{name}.flags"] = float(sum(isinstance(value, bool) for value in values))
        sums[f"{name}.sum"] = math.fsum(values)
        sums[f"{name}.squares"] = math.fsum(value * value for value in values)
    return sums


def means(
    sums: Mapping[str, float],
    names: Sequence[str],
    limits: Sequence[tuple[float, float]] = (),
) -> list[Score]:
    """The mean of each score over clips.

    With Student's interval, or Wilson's where every value is true or false and the mean is a share.
    One value has no interval, and none give NaN.

    Args:
        sums: from ``tally``, or sums of such.
        names: of the scores.
        limits: the least and the largest value that each score can have, in the order of names;
            Student's interval, which knows nothing of them, ends there.

    Raises:
        ValueError: if there is no clip.

    Example:
        >>> (score,) = means(tally([{"x": 1.0}, {"x": 3.0}], ["x"]), ["x"])
        >>> score.value, [round(end, 2) for end in score.interval]  # 2 ± 12.706 √2 / √2
        (2.0, [-10.71, 14.71])
    """
    if not sums["num_clips"]:
        raise ValueError("there is no clip to take a mean of: give a folder that holds videos")
    ends = limits or [(-math.inf, math.inf)] * len(names)
    return [_mean(sums, name, end) for name, end in zip(names, ends, strict=True)]


def _mean(sums: Mapping[str, float], name: str, end: tuple[float, float]) -> Score:
    count, flags, total, squares = (
        sums[f"{name}.{part}"] for part in ("count", "flags", "sum", "squares")
    )
    detail: dict[str, Any] = {"num_clips": round(count)}
    if not count:
        return Score(name, math.nan, detail=detail)
    mean = total / count
    if flags == count:
        share = wilson(round(total), round(count))
        return Score(name, mean, share, "Wilson's over clips", detail)
    if count < 2:
        return Score(name, mean, detail=detail)
    deviation = sqrt(max(squares - total * mean, 0.0) / (count - 1))
    half = student_975(count - 1) * deviation / sqrt(count)
    detail["standard_deviation"] = deviation
    around = max(mean - half, end[0]), min(mean + half, end[1])
    return Score(name, mean, around, "Student's t over clips", detail)
