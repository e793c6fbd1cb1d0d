"""What all metrics share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from vidiff.evaluation_report import Curve, Marks, MetricInfo, NoiseFloor, Row, Score, ScoreInfo
from vidiff.registry import kind
from vidiff_eval.features.base import check_clips, check_number

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vidiff_eval.clips.clip import Clip
    from vidiff_eval.extraction.feature_table import FeatureTable
    from vidiff_eval.features.base import Features
    from vidiff_eval.metrics.torchmetrics_adapter import Accumulator
    from vidiff_eval.protocols.protocol import Protocol


Words: TypeAlias = "Sequence[str] | None"
Pair: TypeAlias = "Tensor | None"


@dataclass(frozen=True)
class Measured:
    """What a metric finds of a set of clips.

    Attributes:
        scores: of the set.
        rows: of each clip; None of a metric that finds nothing of single clips.
    """

    scores: list[Score]
    rows: list[Row] | None = None


@kind("metric")
class VideoMetric(ABC):
    """A measure of videos: a ``ClipMetric``, a ``PairMetric`` or a ``SetMetric``.

    A metric's constructor keeps its settings and is fast; slow imports wait until it measures.
    What others have to know of a metric is among these attributes, and in reports too.

    Attributes:
        kind: whether it measures single ``clips``, ``pairs`` or ``sets``.
        scores: names of the scores that it reports, the main one first; unique among all metrics.
        units: of each score: ``share``, ``dB``, …; empty where there are none.
        limits: the least and the largest possible value of each score; intervals end there. Empty
            where there are none.
        higher_is_better: which way the main score is better; None where neither is.
        needs_real: whether it compares with real videos.
        needs_prompts: whether it judges videos by their prompts.
        paired: whether each clip needs a real partner of the same name.
        min_clips: clips that it needs, of each side.
        has_floor: whether equal distributions give something else than the best value, the more so
            the fewer clips: then reports say how much, from real against real.
        depends_on_number: whether fewer clips give other scores, not only less certain ones.
        beside: names of metrics that must be read with this one, as it can be won without them.
        marks: how pages mark single clips as right or wrong; None where they do not.
    """

    kind: ClassVar[Literal["clips", "pairs", "sets"]]
    scores: tuple[str, ...]
    units: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[tuple[tuple[float, float], ...]] = ()
    higher_is_better: ClassVar[bool | None]
    needs_real: ClassVar[bool] = False
    needs_prompts: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    min_clips: int = 1
    has_floor: ClassVar[bool] = False
    depends_on_number: ClassVar[bool] = False
    beside: ClassVar[tuple[str, ...]] = ()
    marks: ClassVar[Marks | None] = None

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that decides the scores, for reports: plain values.

        Raises:
            ValueError: if something that the metric needs is missing: weights, a package.
        """

    @property
    def taken(self) -> tuple[Features, ...]:
        """The features that it compares, which are stored and shared among metrics."""
        return ()

    @abstractmethod
    def measure(self, generated: FeatureTable, real: FeatureTable | None) -> Measured:
        """Measure a set of clips; ``real`` is None only where ``needs_real`` is false."""

    def values(self, clips: FeatureTable, reference: FeatureTable) -> dict[str, float]:
        """The scores without intervals, of few clips; ``reference`` are the real ones."""
        raise NotImplementedError

    def noise_floor(self, real: FeatureTable, num_clips: int) -> NoiseFloor | None:
        """The main score of real clips against real ones; None where that says nothing."""
        return None

    def charts(
        self, generated: Mapping[str, FeatureTable], real: FeatureTable | None
    ) -> list[Curve]:
        """How scores change with the number of clips or the distance between frames."""
        return []

    def describe(self, noise_floor: NoiseFloor | None = None) -> MetricInfo:
        """The metric for reports."""
        units = self.units or ("",) * len(self.scores)
        limits = self.limits or ((-math.inf, math.inf),) * len(self.scores)
        return MetricInfo(
            kind=self.kind,
            scores=[
                ScoreInfo(name, unit, (_finite(low), _finite(high)))
                for name, unit, (low, high) in zip(self.scores, units, limits, strict=True)
            ],
            higher_is_better=self.higher_is_better,
            summary=(type(self).__doc__ or "").strip().partition("\n")[0],
            settings=self.settings,
            needs_real=self.needs_real,
            needs_prompts=self.needs_prompts,
            min_clips=self.min_clips,
            depends_on_number=self.depends_on_number,
            marks=self.marks,
            noise_floor=noise_floor,
        )

    def follow(self, protocol: Protocol) -> None:
        """Take from a protocol what it says of this metric."""
        for features in self.taken:
            features.follow(protocol)

    @property
    def min_frames(self) -> int:
        """Frames that a clip must have."""
        return max((features.min_frames for features in self.taken), default=1)

    def check(self, clips: Sequence[Clip]) -> None:
        """Raise a ``ValueError`` if these clips cannot be measured; says why, and what to do."""
        shortest = min(clips, key=lambda clip: clip.num_frames)
        if shortest.num_frames < self.min_frames:
            raise ValueError(
                f"it needs clips of {self.min_frames} frames, and {shortest.video.path} "
                f"gives {shortest.num_frames}: set --protocol.num_frames, or leave it out"
            )
        self.check_prompts([clip.video.prompt for clip in clips])

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raise a ``ValueError`` if the metric cannot judge one of ``prompts``; says which."""
        return

    def check_number(self, num_real: int, num_generated: int) -> None:
        """Raise a ``ValueError`` if a side has too few clips; says which."""
        return

    def to(self, device: torch.device | str) -> None:
        """Compute on ``device`` from now on."""
        for features in self.taken:
            features.to(device)

    def vectors(self, videos: Tensor, prompts: Words = None, reference: Pair = None) -> Tensor:
        """What the scores of any set of clips follow from (b, …): features, or sums of one clip.

        Args:
            videos: (b, 3, f, h, w) in [-1, 1].
            prompts: of each.
            reference: the real clip of each.

        Raises:
            ValueError: if they are of another shape, type or range, too short, or lack something.
        """
        raise NotImplementedError

    def accumulator(self, **kwargs: Any) -> Accumulator:
        """The metric as a ``torchmetrics.Metric``, for loops over batches and processes.

        Args:
            kwargs: ``stream`` and others, see ``Accumulator``, and ``torchmetrics.Metric``.
        """
        from vidiff_eval.metrics.torchmetrics_adapter import Accumulator  # torchmetrics: seconds

        return Accumulator(self, **kwargs)

    def _check_videos(self, videos: Tensor, **given: Any) -> None:
        """Raise a ``ValueError`` if videos are no clips, too short, or lack prompts or partners."""
        check_clips(videos)
        check_number(videos, **given)
        if videos.shape[2] < self.min_frames:
            raise ValueError(
                f"clips need at least {self.min_frames} frames here, got {videos.shape[2]}"
            )


def _finite(limit: float) -> float | None:
    return limit if math.isfinite(limit) else None
