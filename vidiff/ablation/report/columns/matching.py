"""How equal the cells are to the baseline, and by what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidiff.ablation.report.columns.base import Column
from vidiff.registry import register

if TYPE_CHECKING:
    from vidiff.ablation.judge.schema import CellResult, Results


@register("equality")
class Equality(Column):
    """What was made equal, over the baseline's."""

    title = "equality"

    def value(self, cell: CellResult) -> float | None:
        return cell.equality

    def text(self, value: float) -> str:
        return f"{value:.3f}"

    def note(self, results: Results) -> str:
        return f"{results.match.equal} over the baseline's" if results.match else ""

    def fits(self, results: Results) -> bool:
        return results.match is not None


@register("solved")
class Solved(Column):
    """The options that were solved for, with their values."""

    title = "solved"

    def value(self, cell: CellResult) -> str:
        return ", ".join(f"{key}={value}" for key, value in cell.solved.items())

    def fits(self, results: Results) -> bool:
        return results.match is not None
