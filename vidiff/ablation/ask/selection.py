"""A part of an ablation: ``--only AXIS=VALUE``."""

from __future__ import annotations

from collections.abc import Sequence

from vidiff.ablation.ask.cells import Run
from vidiff.ablation.ask.file import Ablation
from vidiff.errors import UsageError
from vidiff.registry import nearest


def select(runs: Sequence[Run], ablation: Ablation, only: Sequence[str]) -> list[Run]:
    """The runs of a part: of all values that ``only`` names of an axis, each has one.

    Raises:
        UsageError: if there is no such axis, value or seed.
    """
    known = {axis: list(values) for axis, values in ablation.axes.items()}
    known["seed"] = [str(seed) for seed in ablation.seeds]
    wanted: dict[str, set[str]] = {}
    for word in only:
        axis, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"--only {word}: give AXIS=VALUE, as in seed={known['seed'][0]}")
        if axis not in known:
            raise UsageError(
                f"--only {word}: unknown axis{nearest(axis, known)}; known: {', '.join(known)}"
            )
        if value not in known[axis]:
            raise UsageError(
                f"--only {word}: {axis} has no such value{nearest(value, known[axis])}; "
                f"known: {', '.join(known[axis])}"
            )
        wanted.setdefault(axis, set()).add(value)

    def has(run: Run, axis: str) -> str:
        return str(run.seed) if axis == "seed" else run.cell.choices[axis]

    return [run for run in runs if all(has(run, axis) in wanted[axis] for axis in wanted)]
