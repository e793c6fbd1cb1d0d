"""The accumulators of metrics of clips, of pairs and of sets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vidiff.evaluation_report import Row, Score
from vidiff_eval.metrics.accumulators.base import Accumulator
from vidiff_eval.statistics.frechet import check_sides, frechet_of_moments

if TYPE_CHECKING:
    from vidiff_eval.metrics.base import ClipMetric, PairMetric, SetMetric, VideoMetric

SIDES = ("real", "generated")


class _RowAccumulator(Accumulator):
    """Keeps what is found of each clip, in numbers whose sums the scores follow from."""

    metric: ClipMetric | PairMetric

    def __init__(self, metric: ClipMetric | PairMetric, **kwargs: Any) -> None:
        names = list(metric.tally([]))
        super().__init__(metric, axes=[len(names)], **kwargs)
        self.names = names

    @property
    def accumulates(self) -> dict[str, Any]:
        return {"metric": type(self.metric).__name__, "settings": self.metric.settings}

    def tallies(self, rows: Sequence[Row]) -> Tensor:
        """What was found of clips as numbers (n, k)."""
        found = [self.metric.tally([row]) for row in rows]
        vectors = [[tally[name] for name in self.names] for tally in found]
        return torch.tensor(vectors, dtype=torch.float64)

    def measured(self) -> list[Score]:
        sums = self.vectors().sum(0).tolist()
        return self.metric.summarise(dict(zip(self.names, sums, strict=True)))


class ClipAccumulator(_RowAccumulator):
    """Judges clips one by one.

    >>> from vidiff.data import MovingShapes
    >>> from vidiff_eval.metrics import PromptAccuracy
    >>> clip = MovingShapes(split="val")[0]
    >>> metric = PromptAccuracy().accumulator()
    >>> metric.update(clip.pixels[None], [clip.caption], ids=[clip.id])
    >>> metric.compute()["prompt_accuracy"]
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
        """Measure clips (b, 3, f, h, w) in [-1, 1], by a prompt each where there are any.

        Raises:
            ValueError: if the metric cannot judge a clip or a prompt.
        """
        if prompts is None and self.metric.needs_prompts:
            name = type(self.metric).__name__
            raise ValueError(f"{name} judges clips by their prompts: give update() prompts")
        words = [""] * len(videos) if prompts is None else prompts
        if len(words) != len(videos):
            raise ValueError(f"{len(videos)} videos need as many prompts, got {len(words)}")
        self.metric.check_prompts(words)

        def find(places: list[int]) -> Tensor:
            found = self.metric.features.extract(videos[places])
            return self.tallies(self.metric.judge(found, [words[i] for i in places]))

        self.add(videos, ids, find)


class PairAccumulator(_RowAccumulator):
    """Judges generated clips with real ones."""

    metric: PairMetric

    def update(
        self, videos: Tensor, reference: Tensor, *, ids: Sequence[str] | None = None
    ) -> None:
        """Measure generated clips (b, 3, f, h, w) in [-1, 1] with the real clip of each.

        Raises:
            ValueError: if the shapes differ, or the metric cannot judge a pair.
        """
        if videos.shape != reference.shape:
            raise ValueError(
                f"videos {tuple(videos.shape)} and their reference {tuple(reference.shape)} differ"
            )

        def find(places: list[int]) -> Tensor:
            return self.tallies(self.metric.judge(videos[places], reference[places]))

        self.add(videos, ids, find)


class SetAccumulator(Accumulator):
    """Compares sets: keeps the features of each side, or with ``stream`` their sums.

    Of d features the sums are d² + d + 1 numbers a side, whatever the number of clips. They give no
    interval, as what would be resampled is not there any more.

    Args:
        metric: what is measured.
        reset_real: whether ``reset`` forgets the real clips as well.
        stream: keep sums only, of a Fréchet distance.
        kwargs: see ``torchmetrics.Metric``.

    Raises:
        ValueError: if ``stream`` is asked of a metric that needs the features of all clips.
    """

    sides = SIDES
    metric: Any

    def __init__(
        self, metric: SetMetric, *, reset_real: bool = True, stream: bool = False, **kwargs: Any
    ) -> None:
        if stream and not metric.follows_from_moments:
            raise ValueError(
                f"{type(metric).__name__} needs the features of all clips, not sums of them: leave "
                "stream out"
            )
        super().__init__(metric, stream=stream, **kwargs)
        self.reset_real = reset_real

    @property
    def accumulates(self) -> dict[str, Any]:
        """Features only: a ``MetricCollection`` takes them once for all metrics of the same."""
        return {"features": self.metric.features.settings, "output": self.metric.output}

    def update(self, videos: Tensor, *, real: bool, ids: Sequence[str] | None = None) -> None:
        """Take in clips (b, 3, f, h, w) in [-1, 1] of one side.

        Raises:
            ValueError: if the clips are too short, or only some of a side's updates have ids.
        """

        def find(places: list[int]) -> Tensor:
            features: Tensor = self.metric.features.extract(videos[places])[self.metric.output]
            return features

        self.add(videos, ids, find, SIDES[not real])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """There is none: a batch of one side has no distance.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"{type(self.metric).__name__} compares sets, and a batch is of one side: call "
            "update(videos, real=...) for either, then compute()"
        )

    def reset(self) -> None:
        """Forget all clips; the real ones only if ``reset_real`` says so."""
        names = [name for name in self._defaults if not name.startswith("generated")]
        kept = {name: copy(getattr(self, name)) for name in names}  # lists are emptied in place
        super().reset()
        for name, state in kept.items() if not self.reset_real else ():
            setattr(self, name, state)

    def measured(self) -> list[Score]:
        if self.stream:
            return [self._of_sums()]
        real, generated = (self.vectors(side).cpu() for side in SIDES)
        check_sides(len(real), len(generated), self.metric.min_clips)
        if self.metric.paired:
            ids = [self.read_list(f"{side}_ids").unique() for side in SIDES]
            if not len(ids[0]) or not torch.equal(*ids):
                raise ValueError(
                    f"{type(self.metric).__name__} compares clips with their partners: give the "
                    "same ids to both sides"
                )
        scores: list[Score] = self.metric.compare(real, generated)
        return scores

    def _of_sums(self) -> Score:
        if not self.axes:
            check_sides(0, 0, self.metric.min_clips)
        real, generated = (self.moments(side) for side in SIDES)
        of_a_clip = math.prod(self.axes[:-1])
        num_real, num_generated = (int(side.count) // of_a_clip for side in (real, generated))
        check_sides(num_real, num_generated, self.metric.min_clips)
        found = frechet_of_moments(real, generated, self.metric.covariance)
        detail = {"raw": found.raw, "num_real": num_real, "num_generated": num_generated}
        return Score(self.metric.scores[0], found.value, detail=detail)


def make_accumulator(metric: VideoMetric, **kwargs: Any) -> Accumulator:
    """The accumulator that fits a metric.

    Args:
        metric: what is measured.
        kwargs: ``stream`` and others of the accumulator, and those of ``torchmetrics.Metric``.
    """
    kinds: dict[str, Callable[..., Accumulator]] = {
        "clips": ClipAccumulator, "pairs": PairAccumulator, "sets": SetAccumulator,
    }  # fmt: skip
    return kinds[metric.kind](metric, **kwargs)
