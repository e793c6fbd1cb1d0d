"""What a metric promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vidiff.registry import kind
from vidiff_eval.figures import Figure

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vidiff_eval.clips import Clip
    from vidiff_eval.features.base import Features, Found
    from vidiff_eval.metrics.accumulators import Accumulator
    from vidiff_eval.protocol import Protocol

Row = dict[str, Any]
"""What a metric finds of one clip: plain values under fixed names, fit for JSON."""

Sums = dict[str, float]
"""Sums over clips, from which the figures of any set of them follow."""


@kind("metric")
class VideoMetric(ABC):
    """A measure of videos: a ``ClipMetric``, a ``PairMetric`` or a ``SetMetric``.

    A metric's constructor keeps its settings and is fast; slow imports wait until it measures.
    ``accumulator`` is the metric as a ``torchmetrics.Metric``.

    Attributes:
        figures: names of the figures that it reports, the main one first; names of figures are
            unique among all metrics.
        higher_is_better: which way the main figure is better; None where neither is.
        needs_real: whether it compares with real videos.
        needs_prompts: whether it judges videos by their prompts.
        compares: ``clips`` by themselves, ``pairs`` or ``sets``.
        beside: names of metrics that must be read beside this one, as it can be won without them.
    """

    figures: tuple[str, ...]
    higher_is_better: ClassVar[bool | None]
    needs_real: ClassVar[bool] = False
    needs_prompts: ClassVar[bool] = False
    compares: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that decides the figures, for reports: plain values.

        Raises:
            ValueError: if something that the metric needs is missing: weights, a package.
        """

    def follow(self, protocol: Protocol) -> None:
        """Take from a protocol what it says of this metric."""
        return

    def check(self, clips: Sequence[Clip]) -> None:
        """Raise a ``ValueError`` if these clips cannot be measured; says why, and what to do."""
        return

    def to(self, device: torch.device | str) -> None:
        """Compute on ``device`` from now on."""
        return

    def accumulator(self, **kwargs: Any) -> Accumulator:
        """The metric as a ``torchmetrics.Metric``, for loops over batches and processes.

        Args:
            kwargs: ``stream`` and others, see ``make_accumulator``, and ``torchmetrics.Metric``.
        """
        from vidiff_eval.metrics.accumulators import make_accumulator  # torchmetrics takes seconds

        return make_accumulator(self, **kwargs)


class _OfFeatures(VideoMetric):
    """A metric of what ``features`` takes from clips: that is kept, and shared among metrics."""

    features: Features

    def follow(self, protocol: Protocol) -> None:
        self.features.follow(protocol)

    def check(self, clips: Sequence[Clip]) -> None:
        shortest = min(clips, key=lambda clip: clip.num_frames)
        if shortest.num_frames < self.features.min_frames:
            raise ValueError(
                f"it needs clips of {self.features.min_frames} frames, and {shortest.video.path} "
                f"gives {shortest.num_frames}: set --protocol.num_frames, or leave it out"
            )

    def to(self, device: torch.device | str) -> None:
        self.features.to(device)


class _OfRows(VideoMetric):
    """A metric that finds a row of each clip: rows are summed, and figures follow from the sums.

    Attributes:
        limits: the least and the largest value that each of ``figures`` can have, in their order;
            intervals end there. Empty where there are none.
    """

    limits: ClassVar[tuple[tuple[float, float], ...]] = ()

    def tally(self, rows: Sequence[Row]) -> Sums:
        """Sum rows up; no rows give zeros under the same names."""
        from vidiff_eval.statistics.intervals import tally

        return tally(rows, self.figures)

    def summarise(self, sums: Sums) -> list[Figure]:
        """The figures of a set of clips: by default the mean of each, with Student's interval.

        Raises:
            ValueError: if the set is empty.
        """
        from vidiff_eval.statistics.intervals import means

        return means(sums, self.figures, self.limits)


class ClipMetric(_OfFeatures, _OfRows):
    """Judges each clip by itself, with its prompt where there is one: pure functions of features.

    What is found of each clip is summed, and the figures follow from the sums, so several
    processes give the same as one, in memory that does not grow with the number of clips.
    """

    compares = "clips"

    def check(self, clips: Sequence[Clip]) -> None:
        super().check(clips)
        self.check_prompts([clip.video.prompt for clip in clips])

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raise a ``ValueError`` if the metric cannot judge one of ``prompts``; says which."""
        return

    @abstractmethod
    def judge(self, found: Found, prompts: Sequence[str]) -> list[Row]:
        """What is found of each clip, from its features; the rows have all of ``figures``."""

    def curves(self, found: Found) -> Mapping[str, Tensor]:
        """By name, what is found of each clip at frame distances 1, 2, …: (b, f - 1)."""
        return {}


class PairMetric(_OfRows):
    """Judges each generated clip beside the real one of its name, such as reconstructions."""

    compares = "pairs"
    needs_real = True

    @abstractmethod
    def judge(self, generated: Tensor, real: Tensor) -> list[Row]:
        """What is found of each pair, both (b, 3, f, h, w) in [-1, 1]."""


class SetMetric(_OfFeatures):
    """Compares the features of a set of generated clips with those of a set of real ones.

    Attributes:
        output: the name of the tensor that ``features`` finds and this compares: (n, …).
        min_clips: of either side.
        has_floor: whether equal distributions give something else than the best value, the more so
            the fewer clips: then reports say how much, from real against real.
        depends_on_number: whether fewer clips give other figures, not only less certain ones.
        paired: whether the sets must hold clips of the same names.
    """

    compares = "sets"
    needs_real = True
    output: ClassVar[str] = "features"
    min_clips: int = 2
    has_floor: ClassVar[bool] = True
    depends_on_number: ClassVar[bool] = False
    paired: ClassVar[bool] = False

    @abstractmethod
    def distance(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """Each of ``figures`` between features of real (n, …) and of generated clips (m, …).

        Pure, in float64, without intervals: what is resampled.

        Raises:
            ValueError: if a side has fewer than ``min_clips``; says which.
        """

    @abstractmethod
    def compare(self, real: Tensor, generated: Tensor) -> list[Figure]:
        """The figures with their intervals, of features as in ``distance``."""
