"""What is wrong with runs: a line for each mistake, with the cells that have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.cells import Axes, Run
from vidiff.ablation.ask.nodes import Config

if TYPE_CHECKING:
    from vidiff.ablation.check.checker import RunCosts


def errors_of(runs: Sequence[Run], costs: Sequence[RunCosts | str]) -> list[tuple[Run, str]]:
    """The runs in which something is wrong, and what."""
    pairs = zip(runs, costs, strict=True)
    return [(run, found) for run, found in pairs if isinstance(found, str)]


def explain(
    runs: Sequence[Run],
    costs: Sequence[RunCosts | str],
    axes: Axes,
    base: Config,
    examine: Callable[[Config], RunCosts | str],
) -> list[str]:
    """A line for each value that is wrong by itself, and for each other mistake.

    Each run reports only its first error, so one broken value would mask the other errors of its
    runs. A value whose runs all fail is therefore examined by itself, in the base config.

    Args:
        runs: those that were examined.
        costs: of each, or what is wrong with it.
        axes: of the ablation.
        base: the config that every cell changes.
        examine: returns the costs of a config, or what is wrong with it.
    """
    errors = errors_of(runs, costs)
    failed = {run.cell.name for run, _ in errors}
    wrong: dict[str, list[str]] = {}
    for axis, values in axes.items():
        for value, changed in values.items():
            having = {run.cell.name for run in runs if run.cell.choices.get(axis) == value}
            if not having or not having <= failed:
                continue
            error = examine(nodes.replace(base, changed))
            if isinstance(error, str):
                wrong.setdefault(error, []).append(f"{axis}={value}")
                errors = [each for each in errors if each[0].cell.choices[axis] != value]
    return [f"{', '.join(who)}: {error}" for error, who in wrong.items()] + grouped(errors)


def grouped(errors: Iterable[tuple[Run, str]]) -> list[str]:
    """A line for each mistake, with the first cell that has it and the number of the others."""
    cells: dict[str, list[str]] = {}
    for run, error in errors:
        cells.setdefault(error, []).append(run.cell.name)
    lines = []
    for error, names in cells.items():
        num_others = len(set(names)) - 1
        others = f" and {num_others} more cells" if num_others else ""
        lines.append(f"{names[0]}{others}: {error}")
    return lines
