"""What makes a cell equal to the baseline: a width, or a number of steps, that is solved for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.cells import STEPS
from vidiff.ablation.ask.file import Match
from vidiff.ablation.ask.nodes import Config
from vidiff.ablation.check.checker import Checker
from vidiff.errors import UsageError
from vidiff.formatting import large

UNITS = {"parameters": "trained parameters", "flops": "FLOPs"}

DOUBLINGS = 12
"""How often a value is doubled at most in the search of one that is too large."""

GAP = 32
"""Values that may be impossible one after the other, before none is expected there."""


def solve(
    config: Config, baseline: Config, match: Match, checker: Checker
) -> tuple[Config, dict[str, Any], float]:
    """Solve for ``match.by``, so that a cell equals the baseline in parameters or FLOPs.

    Returns the config with the solution; the solution by dotted key, empty for the baseline; and
    what was to be equal, over the baseline's. A ``ValueError`` if no value makes it equal enough.
    """
    if config == baseline:
        return config, {}, 1.0
    if match.by == STEPS:
        value, equality = _steps(config, baseline, match, checker)
    else:
        value, equality = _width(config, baseline, match, checker)
    if abs(equality - 1) > match.tolerance:
        needed = math.ceil(100 * abs(equality - 1)) / 100
        raise ValueError(
            f"the nearest that can be had is {match.by}={value}, with {equality:.3f} times the "
            f"baseline's {UNITS[match.equal]}: set match.tolerance to {needed:g}, or solve for "
            "something finer (match.by, match.multiple)"
        )
    return nodes.replace(config, {match.by: value}), {match.by: value}, equality


def _steps(config: Config, baseline: Config, match: Match, checker: Checker) -> tuple[int, float]:
    ours, target = checker.costs(config).flops_per_step, checker.costs(baseline).flops
    multiple = match.multiple or 1
    steps = multiple * max(1, round(target / ours / multiple))
    return steps, steps * ours / target


def _width(config: Config, baseline: Config, match: Match, checker: Checker) -> tuple[int, float]:
    part, _, name = match.by.rpartition(".")
    settings = checker.settings(config, part)
    now = settings.get(name)
    if not isinstance(now, int) or isinstance(now, bool):
        raise ValueError(f"match.by: {match.by} is {now!r}: only whole numbers are solved for")
    multiples = [match.multiple or 1]
    heads = settings.get("num_heads")
    if match.multiple is None and name == "width" and isinstance(heads, int):
        multiples = [2 * heads, heads]  # heads of even width, where these come near enough

    def count(config: Config) -> int:
        if match.equal == "parameters":
            return checker.parameters(config)
        return checker.costs(config).flops

    target = count(baseline)
    for multiple in multiples:
        search = _Search(lambda value: count(nodes.replace(config, {match.by: value})), multiple)
        try:
            value, found = search.nearest(target, now)
        except ValueError as error:
            raise ValueError(
                f"no {match.by} gives the baseline's {large(target)} {UNITS[match.equal]}: {error}"
            ) from error
        if abs(found / target - 1) <= match.tolerance:
            break
    return value, found / target


class _Search:
    """The value whose count, an error where it is impossible, is nearest to a target.

    Counts rise with values, which are multiples of ``multiple``.
    """

    def __init__(self, count: Callable[[int], int], multiple: int = 1) -> None:
        self.count, self.multiple = count, multiple
        self.counts: dict[int, int] = {}  # of possible values, by multiples
        self.impossible: set[int] = set()
        self.reason = ""

    def nearest(self, target: int, now: int) -> tuple[int, int]:
        """The value and its count; of equally near ones that which is nearest to ``now``."""
        start = max(1, round(now / self.multiple))
        below, above = self._bracket(target, start)
        while (middle := self._possible(below, above)) is not None:
            if self.counts[middle] < target:
                below = middle
            else:
                above = middle
        known = sorted(self.counts.items())
        if any(one > other for (_, one), (_, other) in pairwise(known)):
            raise ValueError("the count does not rise with it")
        best, count = min(known, key=lambda pair: (abs(pair[1] - target), abs(pair[0] - start)))
        return best * self.multiple, count

    def _bracket(self, target: int, start: int) -> tuple[int, int]:
        """A multiple that is too small, or 0, and one that is not."""
        below, number = 0, start
        for _ in range(DOUBLINGS):
            found = self._first_possible(range(number, number + GAP))
            if found is None:
                near = f"from {number * self.multiple} on, in steps of {self.multiple}"
                raise ValueError(f"none {near}, can be built ({self.reason})")
            if self.counts[found] >= target:
                return below, found
            below, number = found, 2 * found
        if min(self.counts.values()) == self.counts[below]:
            raise ValueError("the count does not depend on it")
        raise ValueError(f"{below * self.multiple} is still too little")

    def _possible(self, below: int, above: int) -> int | None:
        """A possible multiple between two others, as near to their middle as can be."""
        middle = (below + above) // 2
        near = sorted(range(below + 1, above), key=lambda k: abs(k - middle))
        return self._first_possible(near[: 2 * GAP])

    def _first_possible(self, numbers: Iterable[int]) -> int | None:
        return next(filter(self._is_possible, numbers), None)

    def _is_possible(self, number: int) -> bool:
        if number not in self.counts and number not in self.impossible:
            try:
                self.counts[number] = self.count(number * self.multiple)
            except (ValueError, UsageError, RuntimeError) as error:
                self.impossible.add(number)
                self.reason = " ".join(str(error).split())
        return number in self.counts


def steps_of_equal_time(
    seconds: float, of_baseline: float, before: float, config: Config
) -> tuple[dict[str, int], float]:
    """Steps that take as long as the baseline's: by seconds of a step of each, and its config.

    ``before``: seconds of what was trained before, over the baseline's.
    """
    total = of_baseline * int(nodes.get(config, STEPS))
    steps = round((total - before) / seconds)
    if steps < 1:
        raise ValueError(
            f"what is trained before it takes {before:.0f} s, and the baseline {total:.0f} s in "
            "all: raise trainer.max_steps of the base config"
        )
    return {STEPS: steps}, (steps * seconds + before) / total
