"""Metric interface."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vidiff.evaluation_report import Curve, Marks, MetricInfo, NoiseFloor, Row, Score, ScoreInfo
from vidiff.registry import kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vidiff_eval.clips.clip import Clip
    from vidiff_eval.extraction.feature_table import FeatureTable
    from vidiff_eval.features.base import Features, Found
    from vidiff_eval.metrics.accumulators import Accumulator
    from vidiff_eval.protocols.protocol import Protocol

Sums = dict[str, float]
"""Sums over clips, from which the scores of any set of them follow."""

CHUNK = 256
"""Clips that are judged at once."""


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

    def accumulator(self, **kwargs: Any) -> Accumulator:
        """The metric as a ``torchmetrics.Metric``, for loops over batches and processes.

        Args:
            kwargs: ``stream`` and others, see ``make_accumulator``, and ``torchmetrics.Metric``.
        """
        from vidiff_eval.metrics.accumulators import make_accumulator  # torchmetrics takes seconds

        return make_accumulator(self, **kwargs)


class _OfRows(VideoMetric):
    """A metric that finds a row of each clip: rows are summed, and scores follow from the sums."""

    def tally(self, rows: Sequence[Row]) -> Sums:
        """Sum rows up; no rows give zeros under the same names."""
        from vidiff_eval.statistics.intervals import tally

        return tally(rows, self.scores)

    def summarise(self, sums: Sums) -> list[Score]:
        """The scores of a set of clips: by default the mean of each, with Student's interval.

        Raises:
            ValueError: if the set is empty.
        """
        from vidiff_eval.statistics.intervals import means

        return means(sums, self.scores, self.limits)

    @abstractmethod
    def rows(self, generated: FeatureTable, real: FeatureTable | None) -> list[Row]:
        """What is found of each clip of a set."""

    def measure(self, generated: FeatureTable, real: FeatureTable | None) -> Measured:
        rows = self.rows(generated, real)
        return Measured(self.summarise(self.tally(rows)), rows)


class ClipMetric(_OfRows):
    """Judges each clip by itself, with its prompt where there is one: pure functions of features.

    What is found of each clip is summed, and the scores follow from the sums, so several
    processes give the same as one, in memory that does not grow with the number of clips.
    """

    kind = "clips"
    features: Features

    @property
    def taken(self) -> tuple[Features, ...]:
        return (self.features,)

    @abstractmethod
    def judge(self, found: Found, prompts: Sequence[str]) -> list[Row]:
        """What is found of each clip, from its features; the rows have all of ``scores``."""

    def curves(self, found: Found) -> Mapping[str, Tensor]:
        """By name, what is found of each clip at frame distances 1, 2, …: (b, f - 1)."""
        return {}

    def rows(self, generated: FeatureTable, real: FeatureTable | None) -> list[Row]:
        rows: list[Row] = []
        for found, prompts in generated.chunks(self.features, CHUNK):
            rows += self.judge(found, prompts)
        return rows

    def values(self, clips: FeatureTable, reference: FeatureTable) -> dict[str, float]:
        rows = self.judge(clips.of(self.features), [""] * len(clips))
        return {score.name: score.value for score in self.summarise(self.tally(rows))}

    def charts(
        self, generated: Mapping[str, FeatureTable], real: FeatureTable | None
    ) -> list[Curve]:
        from vidiff_eval.judging.curves import against_distance

        sides = {**({"real": real} if real else {}), **generated}
        chunks = {label: (found for found, _ in side.chunks(self.features, CHUNK))
                  for label, side in sides.items()}  # fmt: skip
        return against_distance(self.curves, chunks)


class PairMetric(_OfRows):
    """Judges each generated clip with the real one of its name, such as reconstructions."""

    kind = "pairs"
    needs_real = True
    paired = True

    @abstractmethod
    def judge(self, generated: Tensor, real: Tensor) -> list[Row]:
        """What is found of each pair, both (b, 3, f, h, w) in [-1, 1]."""

    def rows(self, generated: FeatureTable, real: FeatureTable | None) -> list[Row]:
        assert real is not None
        return generated.rows_of_pairs(self, real)


class SetMetric(VideoMetric):
    """Compares the features of a set of generated clips with those of a set of real ones.

    Attributes:
        output: the name of the tensor that ``features`` finds and this compares: (n, …).
        follows_from_moments: whether the score follows from sums of features and their products.
    """

    kind = "sets"
    needs_real = True
    min_clips = 2
    has_floor = True
    features: Features
    output: ClassVar[str] = "features"
    follows_from_moments: ClassVar[bool] = False

    @property
    def taken(self) -> tuple[Features, ...]:
        return (self.features,)

    @abstractmethod
    def distance(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """Each of ``scores`` between features of real (n, …) and of generated clips (m, …).

        Pure, in float64, without intervals: what is resampled.

        Raises:
            ValueError: if a side has fewer than ``min_clips``; says which.
        """

    @abstractmethod
    def compare(self, real: Tensor, generated: Tensor) -> list[Score]:
        """The scores with their intervals, of features as in ``distance``."""

    def measure(self, generated: FeatureTable, real: FeatureTable | None) -> Measured:
        assert real is not None
        orders = generated.pair(real) if self.paired else (None, None)
        sides = zip((real, generated), orders, strict=True)
        return Measured(self.compare(*(self._side(side, order) for side, order in sides)))

    def values(self, clips: FeatureTable, reference: FeatureTable) -> dict[str, float]:
        return self.distance(self._side(reference), self._side(clips))

    def noise_floor(self, real: FeatureTable, num_clips: int) -> NoiseFloor | None:
        from vidiff_eval.statistics.noise_floor import noise_floor

        return noise_floor(self, self._side(real), num_clips) if self.has_floor else None

    def charts(
        self, generated: Mapping[str, FeatureTable], real: FeatureTable | None
    ) -> list[Curve]:
        if not self.has_floor or real is None:
            return []
        from vidiff_eval.judging.curves import against_number

        sides = {name: self._side(side) for name, side in generated.items()}
        distance, name = self.distance, self.scores[0]
        return [against_number(distance, name, self.min_clips, self._side(real), sides)]

    def check_number(self, num_real: int, num_generated: int) -> None:
        from vidiff_eval.statistics.frechet import check_sides

        check_sides(num_real, num_generated, self.min_clips)

    def _side(self, table: FeatureTable, order: Sequence[int] | None = None) -> Tensor:
        """The features of a set, in an order of its own unless another one is given."""
        return table.of(self.features)[self.output][list(table.order if order is None else order)]


def _finite(limit: float) -> float | None:
    return limit if math.isfinite(limit) else None
