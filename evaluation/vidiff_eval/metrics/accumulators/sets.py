"""What compares sets of clips: the features of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vidiff.evaluation_report import Score
from vidiff_eval.metrics.accumulators.base import Accumulator, check_frames, check_videos, fresh
from vidiff_eval.statistics.frechet import check_sides

if TYPE_CHECKING:
    from vidiff_eval.metrics.base import SetMetric

SIDES = ("real", "generated")


class TwoSides(Accumulator):
    """Takes in clips of either side.

    Args:
        metric: what is measured.
        reset_real: whether ``reset`` forgets the real clips as well, which may be the same in each
            epoch.
        kwargs: see ``torchmetrics.Metric``.
    """

    metric: SetMetric

    def __init__(self, metric: SetMetric, *, reset_real: bool = True, **kwargs: Any) -> None:
        super().__init__(metric, **kwargs)
        self.reset_real = reset_real

    @property
    def accumulates(self) -> dict[str, Any]:
        """Features alone: a ``MetricCollection`` takes them once for all metrics of the same."""
        return {"features": self.metric.features.settings, "output": self.metric.output}

    def extract(self, videos: Tensor, places: Tensor) -> Tensor:
        """The features (n, …) of the clips at ``places``."""
        return self.metric.features.extract(videos[places.tolist()])[self.metric.output]

    def check(self, videos: Tensor, ids: Sequence[str] | None) -> None:
        """Raise a ``ValueError`` if these clips cannot be taken in."""
        check_videos(videos, ids)
        check_frames(videos, self.metric.features.min_frames)

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
        kept = {}
        if not self.reset_real:
            names = [name for name in self._defaults if not name.startswith("generated")]
            kept = {name: copy(getattr(self, name)) for name in names}  # lists are emptied in place
        super().reset()
        for name, state in kept.items():
            setattr(self, name, state)


class SetAccumulator(TwoSides):
    """Keeps the features of each side, which intervals need: eight bytes a number.

    With ids, the features are compared in the order of their hashes, so that intervals by
    resampling are the same for any number of processes too.
    """

    def __init__(self, metric: SetMetric, **kwargs: Any) -> None:
        super().__init__(metric, **kwargs)
        for side in SIDES:
            self.add_list(f"{side}_features")
            self.add_list(f"{side}_ids")

    def update(self, videos: Tensor, *, real: bool, ids: Sequence[str] | None = None) -> None:
        """Take in clips of one side.

        Args:
            videos: (b, 3, f, h, w) in [-1, 1].
            real: whether they are real or generated.
            ids: of each, unique on its side; one that came before is not counted again.

        Raises:
            ValueError: if the clips are too short, or only some of a side's updates have ids.
        """
        self.check(videos, ids)
        self.prepare()
        side = SIDES[not real]
        hashes = self.read_list(f"{side}_ids")
        is_first = not getattr(self, f"{side}_features")
        if not is_first and (len(hashes) > 0) != (ids is not None):
            raise ValueError(f"give ids to all updates of {side} clips, or to none")
        places = torch.arange(len(videos), device=self.device)
        if ids is not None:
            places = fresh(self.hash(ids), hashes)
            setattr(self, f"{side}_ids", [hashes, self.hash([ids[i] for i in places])])
        if not len(places):
            return
        news = self.keep_shape(self.extract(videos, places))
        getattr(self, f"{side}_features").append(news.flatten())

    def features(self, side: str) -> Tensor:
        """The features (n, …) of the ``real`` or ``generated`` clips, each once.

        Raises:
            ValueError: if only some have ids.
        """
        features, ids = self.read_vectors(f"{side}_features"), self.read_list(f"{side}_ids")
        if len(ids) not in (0, len(features)):
            raise ValueError(
                f"{len(ids)} of {len(features)} {side} clips have ids: give all or none"
            )
        if not len(ids):
            return features
        order = ids.argsort(stable=True)
        return features[order[fresh(ids[order])]]

    def measured(self) -> list[Score]:
        self.check_identity()
        real, generated = (self.features(side).cpu() for side in SIDES)
        check_sides(len(real), len(generated), self.metric.min_clips)
        if self.metric.paired:
            self._check_pairs()
        return self.metric.compare(real, generated)

    def _check_pairs(self) -> None:
        real, generated = (self.read_list(f"{side}_ids").unique() for side in SIDES)
        if not len(real) or not torch.equal(real, generated):
            raise ValueError(
                f"{type(self.metric).__name__} compares clips with their partners: give the same "
                "ids to both sides"
            )
