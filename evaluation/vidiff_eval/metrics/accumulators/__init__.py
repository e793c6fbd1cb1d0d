"""Any metric as a ``torchmetrics.Metric``; see ``VideoMetric.accumulator``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vidiff_eval.metrics.accumulators.base import Accumulator
from vidiff_eval.metrics.accumulators.clips import ClipAccumulator, PairAccumulator
from vidiff_eval.metrics.accumulators.moments import MomentsAccumulator
from vidiff_eval.metrics.accumulators.sets import SetAccumulator

if TYPE_CHECKING:
    from vidiff_eval.metrics.base import VideoMetric

__all__ = [
    "Accumulator",
    "ClipAccumulator",
    "MomentsAccumulator",
    "PairAccumulator",
    "SetAccumulator",
    "make_accumulator",
]


def make_accumulator(metric: VideoMetric, *, stream: bool = False, **kwargs: Any) -> Accumulator:
    """The accumulator that fits a metric.

    Args:
        metric: what is measured.
        stream: of a Fréchet distance, keep sums alone and no features: see ``MomentsAccumulator``.
            What judges clips does so anyway.
        kwargs: of the accumulator, and of ``torchmetrics.Metric``.

    Raises:
        ValueError: if ``stream`` is asked of a metric that needs the features of all clips.
    """
    of_sets = MomentsAccumulator if stream else SetAccumulator
    kinds: dict[str, Callable[..., Accumulator]] = {
        "clips": ClipAccumulator, "pairs": PairAccumulator, "sets": of_sets,
    }  # fmt: skip
    return kinds[metric.kind](metric, **kwargs)
