"""Fréchet distances from sums of features and of their products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vidiff.evaluation_report import Score
from vidiff_eval.metrics.accumulators.sets import SIDES, TwoSides
from vidiff_eval.metrics.accumulators.sums import SumAccumulator
from vidiff_eval.statistics.frechet import Moments, check_sides, frechet_of_moments

if TYPE_CHECKING:
    from vidiff_eval.metrics.base import SetMetric
    from vidiff_eval.metrics.frechet import FrechetDistance


class MomentsAccumulator(TwoSides, SumAccumulator):
    """A Fréchet distance in memory that does not grow with the number of clips, and no interval.

    Of d features, d² + d + 1 sums in float64 are kept for each side. What would be resampled for an
    interval is not there any more.

    Args:
        metric: what is measured.
        reset_real: whether ``reset`` forgets the real clips as well.
        kwargs: see ``torchmetrics.Metric``.

    Raises:
        ValueError: if the metric is no Fréchet distance.
    """

    metric: FrechetDistance

    def __init__(self, metric: SetMetric, **kwargs: Any) -> None:
        # Some, such as FVD-infinity, are made from the distances of parts of the sets.
        if not metric.follows_from_moments:
            raise ValueError(
                f"{type(metric).__name__} needs the features of all clips, not sums of them: leave "
                "stream out"
            )
        super().__init__(metric, **kwargs)
        for side in SIDES:
            self.add_side(f"{side}_")

    def update(self, videos: Tensor, *, real: bool, ids: Sequence[str] | None = None) -> None:
        """Take in clips of one side.

        Args:
            videos: (b, 3, f, h, w) in [-1, 1].
            real: whether they are real or generated.
            ids: of each, unique on its side; one that came before is not counted again.

        Raises:
            ValueError: if the clips are too short.
        """
        self.check(videos, ids)
        self.prepare()
        side = f"{SIDES[not real]}_"
        places = self.choose(ids, len(videos), side)
        if len(places):
            chosen = None if ids is None else [ids[i] for i in places.tolist()]
            self.add(self.extract(videos, places), chosen, side)

    def fold(self, vectors: Tensor) -> Tensor:
        moments = Moments.of(vectors.reshape(-1, vectors.shape[-1]))
        return torch.cat([moments.count[None], moments.sum, moments.outer.flatten()])

    def moments(self, side: str) -> Moments:
        """The sums over features of the ``real`` or ``generated`` clips, each once, on the CPU."""
        total, width = self.total(f"{side}_").cpu(), self.axes()[-1]
        return Moments(total[0], total[1 : 1 + width], total[1 + width :].view(width, width))

    def measured(self) -> list[Score]:
        self.check_identity()
        if not self.axes():
            check_sides(0, 0, self.metric.min_clips)
        real, generated = (self.moments(side) for side in SIDES)
        of_a_clip = math.prod(self.axes()[:-1])
        num_real, num_generated = (int(side.count) // of_a_clip for side in (real, generated))
        check_sides(num_real, num_generated, self.metric.min_clips)
        found = frechet_of_moments(real, generated, self.metric.covariance)
        detail = {"raw": found.raw, "num_real": num_real, "num_generated": num_generated}
        return [Score(self.metric.scores[0], found.value, detail=detail)]
