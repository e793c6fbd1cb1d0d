"""Prompts and real clips of the evaluation during training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidiff.data.base import VideoDataset
from vidiff.types import Grid, VideoSample
from vidiff_eval.extraction.feature_table import TensorTable
from vidiff_eval.judging.metric_group import FoundBy


@dataclass(frozen=True)
class Reference:
    """The prompts of samples, and the features of the real clips that they are compared with."""

    prompts: list[str]  # a sample each
    size: Grid | None  # frames, height and width of samples; None is what the task was trained on
    num_real: int  # real clips; 0 where no metric wants any
    found: FoundBy | None  # of the real clips

    @property
    def real(self) -> TensorTable | None:
        """The features of the real clips; None without any."""
        return None if self.found is None else TensorTable([""] * self.num_real, self.found)


class ReferenceClips:
    """The first clips of a dataset, of its first size."""

    def __init__(self, dataset: VideoDataset, count: int) -> None:
        self.dataset, self.count = dataset, count
        self.first = dataset[0]

    @property
    def size(self) -> Grid:
        """Frames, height and width of the clips."""
        first = self.first
        f, h, w = first.pixels.shape[1:] if isinstance(first, VideoSample) else first.size
        return f, h, w

    def read(self, indices: Sequence[int]) -> Sequence[Any]:
        """Some of the clips, by their numbers."""
        return self.dataset.__getitems__([i * self.dataset.num_sizes for i in indices])
