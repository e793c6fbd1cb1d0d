"""What a metric promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vidiff.registry import kind

if TYPE_CHECKING:
    from torch import Tensor

    from vidiff_eval.metrics.accumulator import Accumulator

Row = dict[str, Any]
"""What a metric finds of one video: plain values under fixed names, fit for JSON."""

Sums = dict[str, float]
"""Sums over videos, from which the figures of any set of them follow."""


@kind("metric")
class VideoMetric(ABC):
    """A measure of videos, as three pure functions: ``measure``, ``tally`` and ``summarise``.

    Videos are measured one by one (in batches, for speed), what was found is summed, and the
    figures follow from the sums. So a report keeps what was found of each video, several processes
    give the same figures as one, and memory does not grow with the number of videos.
    A metric's constructor keeps its settings and is fast; slow imports wait until ``measure``.
    """

    higher_is_better: ClassVar[bool]

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that decides the figures, for reports: plain values."""

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raise a ``ValueError`` if the metric cannot judge one of ``prompts``; says which."""
        return

    @abstractmethod
    def measure(self, videos: Tensor, prompts: Sequence[str]) -> list[Row]:
        """What is found of each video (b, 3, f, h, w) in [-1, 1], given its prompt."""

    @abstractmethod
    def tally(self, rows: Sequence[Row]) -> Sums:
        """Sum rows up; no rows give zeros under the same names."""

    @abstractmethod
    def summarise(self, sums: Sums) -> dict[str, Any]:
        """The figures of a set of videos, with their intervals.

        Raises:
            ValueError: if the set is empty.
        """

    def accumulator(self) -> Accumulator:
        """The metric as a ``torchmetrics.Metric``, for loops that run on several processes."""
        from vidiff_eval.metrics.accumulator import Accumulator

        return Accumulator(self)
