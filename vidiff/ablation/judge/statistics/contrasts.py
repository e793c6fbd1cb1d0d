"""Differences of cells: two of them, or all that an axis, or a pair of crossed axes, makes.

Every question is a contrast, one table of signed sums (num_seeds, num_prompts): a seed and a prompt
count where all cells have them. With values v and w of two axes, and baseline values a and b,

    main effect of v       y(v, rest) - y(a, rest)
    interaction of v, w    y(v, w, rest) - y(v, b, rest) - y(a, w, rest) + y(a, b, rest)

averaged over all settings of the other axes (``rest``) where every cell was seen (Box, Hunter &
Hunter 2005, chapter 5, whose two-level effects are half of this interaction). An effect that is
zero says that the axis does not matter *on average*; an interaction, that its effect depends on the
other axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vidiff.ablation.judge.statistics.comparison import Comparison, Units, of_differences
from vidiff.ablation.judge.statistics.intervals import Observations, all_seeds, longest, table
from vidiff.ablation.judge.statistics.verdicts import judge

Choice = tuple[str, str]
"""An axis and one of its values."""

Cells = Mapping[tuple[Choice, ...], Observations] | Mapping[frozenset[Choice], Observations]
"""What was seen in each cell, by its choices in any order."""


@dataclass(frozen=True)
class Effect:
    """What an axis, or two together, do on average over ``num_settings`` of the others.

    Its ``values`` are compared with the baseline's, ``against``. An interaction is "better" where
    both values together do more than the sum of what each does by itself.
    """

    axes: tuple[str, ...]
    values: tuple[str, ...]
    against: tuple[str, ...]
    num_settings: int
    comparison: Comparison


def compare(
    cell: Observations, baseline: Observations, *, higher_is_better: bool, units: Units = "prompts"
) -> Comparison:
    """A cell less the baseline, paired by seed and prompt; what one side lacks does not count.

    The verdict is on only this comparison; ``judge`` gives those of a family.
    """
    both = (cell, baseline)
    ours, theirs = (table(one, all_seeds(both), longest(both)) for one in both)
    differences = ours - theirs
    return judge([of_differences(differences, higher_is_better=higher_is_better, units=units)])[0]


def contrast(cells: Cells, changes: Mapping[str, Choice]) -> tuple[np.ndarray, int]:
    """The difference that changes make (by axis, the value and the baseline's).

    Returns:
        The mean over settings of the other axes, (num_seeds, num_prompts), NaN where a cell of some
        setting has no value; and the number of settings whose cells share a seed and prompt.
    """
    known = {frozenset(choices): seen for choices, seen in cells.items()}
    seeds, num_prompts = all_seeds(known.values()), longest(known.values())
    changed = frozenset((axis, value) for axis, (value, _) in changes.items())
    found = []
    for rest in (choices - changed for choices in known if changed <= choices):
        total = np.zeros((len(seeds), num_prompts))
        for corner in itertools.product((0, 1), repeat=len(changes)):
            picked = zip(changes.items(), corner, strict=True)
            cell = rest | {(axis, choice[which]) for (axis, choice), which in picked}
            total += (-1) ** sum(corner) * table(known.get(cell, {}), seeds, num_prompts)
        if np.isfinite(total).any():
            found.append(total)
    if not found:
        return np.full((len(seeds), num_prompts), np.nan), 0
    return np.mean(found, axis=0), len(found)


def effects(
    order: int,
    cells: Cells,
    axes: Mapping[str, Sequence[str]],
    baseline: Mapping[str, str],
    *,
    higher_is_better: bool,
    correct_seeds: bool = False,
    units: Units = "prompts",
) -> list[Effect]:
    """Main effects of axes (order 1), or interactions of pairs of axes (order 2).

    Each axis, or pair, has a family of comparisons; cells may be missing. There are none for fewer
    than two axes with several values, whose effects are the cells' own differences.
    """
    crossed = [axis for axis, values in axes.items() if len(values) > 1]
    if len(crossed) < 2:
        return []
    found = []
    for chosen in itertools.combinations(crossed, order):
        others = [[v for v in axes[axis] if v != baseline[axis]] for axis in chosen]
        against = tuple(baseline[axis] for axis in chosen)
        family = list(itertools.product(*others))
        tables = [
            contrast(cells, dict(zip(chosen, zip(values, against, strict=True), strict=True)))
            for values in family
        ]
        compared = [
            of_differences(d, higher_is_better=higher_is_better, units=units) for d, _ in tables
        ]
        judged = judge(compared, correct_seeds=correct_seeds)
        found += [
            Effect(chosen, values, against, num_settings, comparison)
            for values, (_, num_settings), comparison in zip(family, tables, judged, strict=True)
        ]
    return found


main_effects = partial(effects, 1)
"""What each value of each axis does against the baseline's, on average over the other axes."""

interactions = partial(effects, 2)
"""How far the effect of each value depends on that of another axis, for each pair of axes."""
