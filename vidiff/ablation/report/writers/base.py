"""Report writer interface."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vidiff.ablation.report.content import Content
from vidiff.registry import kind


@kind("report")
class ReportWriter(ABC):
    """Writes the results of an ablation in one format."""

    @abstractmethod
    def render(self, content: Content) -> dict[str, str | bytes]:
        """The content of each file of the format, by the file's name."""
