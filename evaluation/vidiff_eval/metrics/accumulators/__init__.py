"""Any metric as a ``torchmetrics.Metric``; see ``VideoMetric.accumulator``."""

from __future__ import annotations

from typing import Any

from vidiff_eval.metrics.accumulators.base import Accumulator
from vidiff_eval.metrics.accumulators.clips import ClipAccumulator, PairAccumulator
from vidiff_eval.metrics.accumulators.moments import MomentsAccumulator
from vidiff_eval.metrics.accumulators.sets import SetAccumulator
from vidiff_eval.metrics.base import ClipMetric, PairMetric, SetMetric, VideoMetric

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
    if isinstance(metric, ClipMetric):
        return ClipAccumulator(metric, **kwargs)
    if isinstance(metric, PairMetric):
        return PairAccumulator(metric, **kwargs)
    if not isinstance(metric, SetMetric):
        raise TypeError(f"{type(metric).__name__} is no ClipMetric, PairMetric or SetMetric")
    return (MomentsAccumulator if stream else SetAccumulator)(metric, **kwargs)
