"""What the writers of a report get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidiff.ablation.report.columns import DEFAULT, Column
from vidiff.registry import get_component

if TYPE_CHECKING:
    from vidiff.ablation.judge.schema import Results


@dataclass(frozen=True)
class Content:
    """What a report is made of.

    Attributes:
        folder: of the report, from which videos have their paths.
        extra: names of columns besides those that every report has.
        files: those of other formats, which are written already.
    """

    results: Results
    folder: Path
    extra: Sequence[str] = ()
    files: Sequence[str] = ()

    @property
    def columns(self) -> list[Column]:
        """The columns of the table of costs."""
        names = dict.fromkeys([*DEFAULT, *self.extra])
        columns = (get_component("column", name).cls() for name in names)
        return [column for column in columns if column.fits(self.results)]
