"""Any metric as a ``torchmetrics.Metric``; see ``VideoMetric.accumulator``."""

from vidiff_eval.metrics.accumulators.base import Accumulator
from vidiff_eval.metrics.accumulators.kinds import make_accumulator

__all__ = ["Accumulator", "make_accumulator"]
