"""What a dataset promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Protocol

import torch
from torch.utils.data import Dataset

from vidiff.registry import kind
from vidiff.types import VideoBatch, VideoSample

Split = Literal["train", "val", "test"]


@kind("dataset", given=("split",))
class VideoDataset(Dataset[VideoSample], ABC):
    """Clips with captions, by index.

    The same index gives the same clip in every process and on every machine, so that a run can be
    repeated and resumed; a dataset that draws anything draws it from its seed and the index.
    It never downloads, and holds nothing in memory that grows with its size but an index.

    Attributes:
        draws_anew: whether an index may run past the length. If so, epoch ``e`` asks for clip ``i``
            by ``e * len(self) + i``: ``index % len(self)`` names the clip, and the whole index
            seeds what is drawn of it, a new start or crop in each epoch. If not, each epoch asks
            for the same indices again.
        num_sizes: how many sizes (frames, height, width) clips may have. With several, an index
            names the size too: clip ``index // num_sizes`` in size ``index % num_sizes``. All
            clips of a batch are asked for in one size, which changes from step to step.
        num_files: how many files are behind the clips; 0 if there are none.
    """

    draws_anew: ClassVar[bool] = False
    num_sizes: int = 1
    num_files: int = 0

    @abstractmethod
    def __len__(self) -> int:
        """The number of clips in one epoch of this split."""

    @abstractmethod
    def __getitem__(self, index: int) -> VideoSample:
        """The clip at ``index``; an unreadable one raises or is replaced, as its class says."""

    def __getitems__(self, indices: Sequence[int]) -> list[VideoSample]:
        """All clips of one batch at once; override where that is faster than one by one."""
        return [self[index] for index in indices]

    def __iter__(self) -> Iterator[VideoSample]:
        """One epoch, in order; of several sizes, each clip has the next one."""
        return (self[clip * self.num_sizes + clip % self.num_sizes] for clip in range(len(self)))

    def problems(self) -> dict[str, str]:
        """Files that this process has left out so far, with the reason for each.

        A dataset only collects them: the data module gathers them from its workers and reports
        each once.
        """
        return {}


class MakeDataset(Protocol):
    """A dataset with everything set but the split."""

    def __call__(self, *, split: Split) -> VideoDataset: ...


def collate(samples: Sequence[VideoSample]) -> VideoBatch:
    """Stack clips of one size into a batch.

    Raises:
        ValueError: if the clips' shapes differ.
    """
    shapes = {tuple(sample.pixels.shape) for sample in samples}
    if len(shapes) != 1:
        raise ValueError(
            f"clips of one batch must have one shape (c, f, h, w), got {sorted(shapes)}"
        )
    return VideoBatch(
        pixels=torch.stack([sample.pixels for sample in samples]),
        captions=[sample.caption for sample in samples],
        ids=[sample.id for sample in samples],
    )
