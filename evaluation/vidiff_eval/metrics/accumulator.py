"""Any metric as a ``torchmetrics.Metric``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from vidiff_eval.metrics.base import VideoMetric


class Accumulator(Metric):
    """Sums over videos in float64, added up across processes, from which the figures follow.

    >>> from vidiff_eval.metrics import PromptAccuracy
    >>> from vidiff.data import MovingShapes
    >>> clip = MovingShapes(split="val")[0]
    >>> metric = PromptAccuracy().accumulator()
    >>> metric.update(clip.pixels[None], [clip.caption])
    >>> metric.compute()["accuracy"]
    1.0

    Args:
        metric: what is measured.
        kwargs: see ``torchmetrics.Metric``.
    """

    sums: Tensor
    is_differentiable = False
    full_state_update = False

    def __init__(self, metric: VideoMetric, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metric = metric
        self.names = list(metric.tally([]))
        zeros = torch.zeros(len(self.names), dtype=torch.float64)
        self.add_state("sums", default=zeros, dist_reduce_fx="sum")

    def update(self, videos: Tensor, prompts: Sequence[str]) -> None:
        """Measure videos (b, 3, f, h, w) in [-1, 1] with their prompts."""
        sums = self.metric.tally(self.metric.measure(videos, prompts))
        self.sums += self.sums.new_tensor([sums[name] for name in self.names])

    def compute(self) -> dict[str, Any]:
        """The figures of all videos so far."""
        return self.metric.summarise(dict(zip(self.names, self.sums.tolist(), strict=True)))
