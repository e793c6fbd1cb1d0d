"""What the writers of figures share."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from vidiff.ablation.report.content import Content
from vidiff.ablation.report.figure import Figure, make_figures
from vidiff.ablation.report.writers.base import ReportWriter


class DrawnReport(ReportWriter):
    """A file for each figure: ``scores``, and ``curves`` where there are any.

    Attributes:
        ending: of the files' names, without the dot.
    """

    ending: ClassVar[str]

    @abstractmethod
    def draw(self, figure: Figure) -> bytes:
        """The content of a figure's file."""

    def render(self, content: Content) -> dict[str, str | bytes]:
        figures = make_figures(content.results)
        return {f"{name}.{self.ending}": self.draw(figure) for name, figure in figures.items()}
