"""Better, worse, or cannot tell: the rule, the sentence that says why, and seeds to add."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vidiff.ablation.judge.statistics.comparison import EXACT, Comparison, smallest_p
from vidiff.ablation.judge.statistics.intervals import standard_error

LEVEL = 0.05
"""Odds of a false verdict that are accepted."""

MOST = 1_000
"""Further seeds beyond which the answer is "more than that"."""


def judge(comparisons: Sequence[Comparison], *, correct_seeds: bool = False) -> list[Comparison]:
    """The same comparisons, with verdicts, and p after Holm's correction over all of them.

    A cell is better or worse if both questions say so (see ``comparison``): p after the correction
    is below 0.05, and the 95 % interval over seeds is free of zero. One seed is never enough.

    Args:
        comparisons: the family: those of one metric that are read together.
        correct_seeds: correct the test over seeds too, at the price of more seeds. The odds of any
            false verdict are then at most 5 % for the family. Otherwise, where trainings differ
            far more than prompts, they are up to 1 - 0.95^m for m of them (simulated: 17 % of 4).
    """
    p_holm = holm([one.p for one in comparisons])
    p_seeds = [one.p_seeds for one in comparisons]
    number = sum(p is not None for p in p_holm)
    level = LEVEL / number if correct_seeds and number else LEVEL
    if correct_seeds:
        p_seeds = holm(p_seeds)
    return [
        _judged(replace(one, p_holm=prompts), seeds, number, level)
        for one, prompts, seeds in zip(comparisons, p_holm, p_seeds, strict=True)
    ]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values, in the same order (Holm 1979): reject those that are below the level.

    The k-th smallest of m is multiplied by m - k + 1, never less than the one before, at most 1.
    None and NaN stay as they are, and do not count.
    """
    adjusted = list(p_values)
    known = [(p, i) for i, p in enumerate(p_values) if p is not None and not math.isnan(p)]
    least = 0.0
    for rank, (p, i) in enumerate(sorted(known)):
        least = max(least, min(1.0, (len(known) - rank) * p))
        adjusted[i] = least
    return adjusted


def further_seeds(
    seed_differences: Sequence[float],
    num_comparisons: int = 1,
    *,
    per_seed_test: bool,
    level: float = LEVEL,
) -> int | None:
    """Seeds to add until the interval is free of zero, if mean and spread stay what they are.

    The smallest n with t(1 - level / 2, n - 1) s / √n < |mean|, less those at hand; None if
    ``MOST`` are too few, or if fewer than two are at hand, whose spread is unknown. Mean and spread
    of few seeds are themselves unsure: with this many, a verdict is about as likely as not. With
    ``per_seed_test`` the permutation test is over seeds too: p, at best 2 / 2^n, has to be at most
    0.05 after Holm's correction for ``num_comparisons``.
    """
    from scipy.special import stdtrit

    at_hand = np.asarray(seed_differences, dtype=float)
    if len(at_hand) < 2:
        return None
    spread = standard_error(at_hand) * np.sqrt(len(at_hand))
    n = np.arange(len(at_hand), len(at_hand) + MOST + 1)
    enough = stdtrit(n - 1, 1 - level / 2) * spread / np.sqrt(n) < abs(at_hand.mean())
    if per_seed_test:
        enough &= num_comparisons * 2.0 ** (1 - n) <= LEVEL
    return int(enough.argmax()) if enough.any() else None


def min_seeds(num_comparisons: int, num_units: int | None) -> int | None:
    """The fewest seeds with which a verdict is possible at all; None where no number is enough.

    Two for the interval. The test has to be able to give p below 0.05 after Holm's correction for
    ``num_comparisons``, whatever the differences: over ``num_units`` prompts or clips, or over the
    seeds themselves (None).
    """
    for seeds in range(2, EXACT + 2):
        if num_comparisons * smallest_p(seeds if num_units is None else num_units) < LEVEL:
            return seeds
    return None


def seeds_needed(metric: str, num_seeds: int, num_comparisons: int, num_units: int | None) -> str:
    """A sentence: how many seeds a verdict by a metric needs at least, and whether they are there.

    ``num_comparisons`` and ``num_units`` as in ``min_seeds``.
    """
    needed = min_seeds(num_comparisons, num_units)
    against = f"{num_comparisons} comparison{'s' if num_comparisons != 1 else ''}"
    if needed is None and num_units is not None:
        return (
            f"No verdict by {metric} is possible with any number of seeds: a test over {num_units} "
            f"prompts or clips cannot give p below 0.05 for {against}. Add more of them."
        )
    if needed is None:
        return f"No verdict by {metric} is possible with any number of seeds for {against}."
    why = f", as its test is over seeds, for {against}" if num_units is None else ""
    enough = "" if num_seeds >= needed else f"; there {_are(num_seeds)}: add seeds"
    return f"A verdict by {metric} needs at least {needed} seeds{why}{enough}."


def _are(number: int) -> str:
    return f"is {number}" if number == 1 else f"are {number}"


def _judged(one: Comparison, p_seeds: float | None, number: int, level: float) -> Comparison:
    """One of ``number`` comparisons, by p over seeds as it is to be judged."""
    if one.p is None or one.p_holm is None:
        return _cannot_tell(one, "No seed has values in all cells that are compared.")
    if p_seeds is None:
        return _cannot_tell(
            one,
            "There is one seed only, and another could say the opposite: at least two are needed, "
            "better three or more.",
        )
    if not any(one.seed_differences):
        return _cannot_tell(one, "In every seed the difference is exactly zero.")
    test = f"the test over {one.num_units} {one.units} gives {_p(one.p, one.p_holm, number)}"
    agree, certain = p_seeds < LEVEL, one.p_holm < LEVEL
    if agree and certain:
        better = (one.difference > 0) == one.higher_is_better
        return replace(
            one,
            verdict="better" if better else "worse",
            reason=f"The interval over {one.num_seeds} seeds is free of zero, and {test}.",
            further_seeds=0,
        )
    least = smallest_p(one.num_units)
    if number * least >= LEVEL:
        before = " before it" if number > 1 else ""
        test += f" ({one.num_units} {one.units} can give p = {least:.2g} at best{before})"
    found = f"{_interval(one, p_seeds, number)}, {'and' if agree == certain else 'but'} {test}"
    if one.units != "seeds" and (agree or least >= LEVEL):
        return _cannot_tell(one, f"{found}; more {one.units} would help, rather than more seeds.")
    needed = further_seeds(
        one.seed_differences, number, per_seed_test=one.units == "seeds", level=level
    )
    if needed is None:
        advice = f"more than {MOST:,} further seeds would be needed"
    else:
        # By mean and spread the seeds at hand do, but one of them dissents: another may outvote it.
        needed = max(needed, 1)
        advice = f"about {needed} further seed{'s' if needed > 1 else ''} would be needed"
    return _cannot_tell(one, f"{found}; {advice}, if mean and spread stay as they are.", needed)


def _cannot_tell(one: Comparison, reason: str, needed: int | None = None) -> Comparison:
    return replace(one, verdict="cannot tell", reason=reason, further_seeds=needed)


def _interval(one: Comparison, p_seeds: float, number: int) -> str:
    over = f"The interval over {one.num_seeds} seeds"
    assert one.p_seeds is not None, "there are two seeds or more"
    if one.p_seeds >= LEVEL:
        return f"{over} includes zero"
    if p_seeds >= LEVEL:
        return f"{over} is free of zero, though not{_holm(number)}"
    return f"{over} is free of zero"


def _p(p: float, corrected: float, number: int) -> str:
    return f"p = {p:.2g}" if number == 1 else f"p = {corrected:.2g}{_holm(number)}"


def _holm(number: int) -> str:
    return f" after Holm's correction for {number} comparisons" if number > 1 else ""
