"""Column interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from vidiff.registry import kind

if TYPE_CHECKING:
    from vidiff.ablation.judge.schema import CellResult, Results

Value = float | str | None


@kind("column")
class Column(ABC):
    """A column of an ablation's table of costs: one number, or text, for each cell.

    Attributes:
        title: its heading.
    """

    title: ClassVar[str]

    @abstractmethod
    def value(self, cell: CellResult) -> Value:
        """A number, by which tables are sorted, or text; None where it is not known."""

    def text(self, value: float) -> str:
        """A number as it is shown."""
        return f"{value:.4g}"

    def note(self, results: Results) -> str:
        """A line below the heading."""
        return ""

    def fits(self, results: Results) -> bool:
        """Whether the results have it at all; other columns are left out."""
        return True

    def shown(self, cell: CellResult) -> str:
        """The value of a cell as text."""
        value = self.value(cell)
        if value is None:
            return "–"
        return value if isinstance(value, str) else self.text(value)
