"""Metric interface: of single clips, of pairs and of sets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

from vidiff.evaluation_report import Curve, NoiseFloor, Row, Score
from vidiff_eval.features.base import check_clips, check_number
from vidiff_eval.metrics.video_metric import Measured, Pair, VideoMetric, Words

if TYPE_CHECKING:
    from torch import Tensor

    from vidiff_eval.extraction.feature_table import FeatureTable
    from vidiff_eval.features.base import Features, Found
    from vidiff_eval.statistics.resampling import LeftOut, Scale

Sums = dict[str, float]
"""Sums over clips, from which the scores of any set of them follow."""

CHUNK = 256
"""Clips that are judged at once."""

__all__ = ["ClipMetric", "Measured", "PairMetric", "Row", "SetMetric", "Sums", "VideoMetric"]


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

    @abstractmethod
    def rows_of(self, videos: Tensor, prompts: Words, reference: Pair) -> list[Row]:
        """What is found of each of some clips, see ``vectors``."""

    def vectors(self, videos: Tensor, prompts: Words = None, reference: Pair = None) -> Tensor:
        import torch

        tallies = [self.tally([row]) for row in self.rows_of(videos, prompts, reference)]
        names = self.tally([])
        return torch.tensor([[one[name] for name in names] for one in tallies], dtype=torch.float64)


class ClipMetric(_OfRows):
    """Judges each clip by itself, with its prompt where there is one: pure functions of features.

    What is found of each clip is summed, and the scores follow from the sums, so several
    processes give the same as one, in memory that does not grow with the number of clips.
    """

    kind = "clips"
    features: Features

    @property
    def settings(self) -> dict[str, Any]:
        return {"features": self.features.settings}

    @property
    def taken(self) -> tuple[Features, ...]:
        return (self.features,)

    @abstractmethod
    def judge(self, found: Found, prompts: Sequence[str]) -> list[Row]:
        """What is found of each clip, from its features; the rows have all of ``scores``."""

    def __call__(self, videos: Tensor, prompts: Sequence[str] | None = None) -> dict[str, float]:
        """The scores of clips (b, 3, f, h, w) in [-1, 1], by name.

        Raises:
            ValueError: if they are of another shape, type or range, or lack the prompts.
        """
        return _values(self.summarise(self.tally(self.rows_of(videos, prompts, None))))

    def rows_of(self, videos: Tensor, prompts: Words, reference: Pair) -> list[Row]:
        self._check_videos(videos, prompts=prompts)
        if prompts is None and self.needs_prompts:
            raise ValueError(f"{type(self).__name__} judges clips by their prompts: give prompts")
        words = [""] * len(videos) if prompts is None else prompts
        self.check_prompts(words)
        return self.judge(self.features.extract(videos), words)

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
        return _values(self.summarise(self.tally(rows)))

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

    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """The scores of clips (b, 3, f, h, w) in [-1, 1] with the real clip of each, by name.

        Raises:
            ValueError: if they are of another or of different shapes, of another type or range.
        """
        return _values(self.summarise(self.tally(self.rows_of(generated, None, real))))

    def rows_of(self, videos: Tensor, prompts: Words, reference: Pair) -> list[Row]:
        self._check_videos(videos)
        shape = None if reference is None else reference.shape
        if reference is None or shape != videos.shape:
            raise ValueError(
                f"{type(self).__name__} compares each clip with its reference, and shapes differ: "
                f"{tuple(videos.shape)} and {shape and tuple(shape)}"
            )
        check_clips(reference)
        return self.judge(videos, reference)

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

    def __call__(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        """The scores of clips (m, 3, f, h, w) against real ones (n, 3, f, h, w), by name.

        Both are in [-1, 1]. For intervals, and for clips in batches, see ``accumulator``.

        Raises:
            ValueError: if they are of another shape, type or range, too short or too few.

        Example:
            >>> import torch
            >>> from vidiff_eval.features import Features
            >>> from vidiff_eval.metrics import FD
            >>> class Level(Features):
            ...     name, settings = "level", {}
            ...     def extract(self, clips):
            ...         return {"features": clips.mean((2, 3, 4))}
            >>> grey = torch.zeros(4, 3, 8, 16, 16)
            >>> FD(Level())(grey, grey + 0.5)  # 3 channels, 0.5² each; so FVD()(real, generated)
            {'fd_level': 0.75}
        """
        if self.paired:
            check_number(real, generated=generated)
        return self.distance(self.vectors(real), self.vectors(generated))

    def vectors(self, videos: Tensor, prompts: Words = None, reference: Pair = None) -> Tensor:
        self._check_videos(videos)
        return self.features.extract(videos)[self.output]

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

    def _score(
        self, value: float, left_out: LeftOut | None, *sides: Tensor, name: str = "",
        scale: Scale = "linear", **detail: Any,
    ) -> Score:  # fmt: skip
        """A score with the jackknife's interval, cut at the score's limits."""
        from vidiff_eval.statistics.resampling import interval

        name = name or self.scores[0]
        limits = dict(zip(self.scores, self.limits, strict=False)).get(name, (-inf, inf))
        around, method = interval(value, left_out, scale, limits), left_out and left_out.method
        detail |= dict(zip(("num_real", "num_generated"), map(len, sides), strict=True))
        return Score(name, value, around, method or "", detail)

    def _side(self, table: FeatureTable, order: Sequence[int] | None = None) -> Tensor:
        """The features of a set, in an order of its own unless another one is given."""
        return table.of(self.features)[self.output][list(table.order if order is None else order)]


def _values(scores: Sequence[Score]) -> dict[str, float]:
    return {score.name: score.value for score in scores}
