"""What videos are measured by (kind ``metric``)."""

from vidiff_eval.metrics.base import Row, Sums, VideoMetric
from vidiff_eval.metrics.prompt_accuracy import PromptAccuracy

__all__ = ["PromptAccuracy", "Row", "Sums", "VideoMetric"]
