"""What judges clips one by one, or in pairs: sums of what it finds of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vidiff.evaluation_report import Score
from vidiff_eval.metrics.accumulators.base import check_frames, check_videos
from vidiff_eval.metrics.accumulators.sums import SumAccumulator

if TYPE_CHECKING:
    from vidiff_eval.metrics.base import ClipMetric, PairMetric, Row


class _RowAccumulator(SumAccumulator):
    """Sums rows up."""

    metric: ClipMetric | PairMetric

    def __init__(self, metric: ClipMetric | PairMetric, **kwargs: Any) -> None:
        names = list(metric.tally([]))
        super().__init__(metric, axes=[len(names)], **kwargs)
        self.names = names
        self.add_side()

    @property
    def accumulates(self) -> dict[str, Any]:
        return {"metric": type(self.metric).__name__, "settings": self.metric.settings}

    def fold(self, vectors: Tensor) -> Tensor:
        return vectors.sum(0)

    def add_rows(self, rows: Sequence[Row], ids: Sequence[str] | None) -> None:
        """Take in what was found of clips."""
        tallies = [self.metric.tally([row]) for row in rows]
        vectors = [[tally[name] for name in self.names] for tally in tallies]
        self.add(torch.tensor(vectors, dtype=torch.float64), ids)

    def measured(self) -> list[Score]:
        self.check_identity()
        return self.metric.summarise(dict(zip(self.names, self.total().tolist(), strict=True)))


class ClipAccumulator(_RowAccumulator):
    """Sums over clips in float64, from which the scores follow.

    >>> from vidiff.data import MovingShapes
    >>> from vidiff_eval.metrics import PromptAccuracy
    >>> clip = MovingShapes(split="val")[0]
    >>> metric = PromptAccuracy().accumulator()
    >>> metric.update(clip.pixels[None], [clip.caption], ids=[clip.id])
    >>> metric.compute()["accuracy"]
    1.0
    """

    metric: ClipMetric

    def update(
        self,
        videos: Tensor,
        prompts: Sequence[str] | None = None,
        *,
        ids: Sequence[str] | None = None,
    ) -> None:
        """Measure clips.

        Args:
            videos: (b, 3, f, h, w) in [-1, 1].
            prompts: of each; by default empty.
            ids: of each, unique among all clips; one that came before is not counted again.

        Raises:
            ValueError: if the metric cannot judge a clip or a prompt.
        """
        check_videos(videos, ids)
        check_frames(videos, self.metric.features.min_frames)
        if prompts is None:
            if self.metric.needs_prompts:
                name = type(self.metric).__name__
                raise ValueError(f"{name} judges clips by their prompts: give update() prompts")
            prompts = [""] * len(videos)
        if len(prompts) != len(videos):
            raise ValueError(f"{len(videos)} videos need as many prompts, got {len(prompts)}")
        self.metric.check_prompts(prompts)
        self.prepare()
        places = self.choose(ids, len(videos)).tolist()
        if not places:
            return
        found = self.metric.features.extract(videos[places])
        rows = self.metric.judge(found, [prompts[i] for i in places])
        self.add_rows(rows, ids and [ids[i] for i in places])


class PairAccumulator(_RowAccumulator):
    """Sums over pairs of clips in float64, from which the scores follow."""

    metric: PairMetric

    def update(
        self, videos: Tensor, reference: Tensor, *, ids: Sequence[str] | None = None
    ) -> None:
        """Measure generated clips beside real ones.

        Args:
            videos: (b, 3, f, h, w) in [-1, 1].
            reference: the real clip of each, of the same shape.
            ids: of each pair, unique among all; one that came before is not counted again.

        Raises:
            ValueError: if the shapes differ, or the metric cannot judge a pair.
        """
        check_videos(videos, ids)
        if videos.shape != reference.shape:
            raise ValueError(
                f"videos {tuple(videos.shape)} and their reference {tuple(reference.shape)} differ"
            )
        self.prepare()
        places = self.choose(ids, len(videos)).tolist()
        if not places:
            return
        rows = self.metric.judge(videos[places], reference[places])
        self.add_rows(rows, ids and [ids[i] for i in places])
