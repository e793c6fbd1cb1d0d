"""What a dataset promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vidiff.registry import kind
from vidiff.types import (
    Batch,
    LatentBatch,
    LatentSample,
    Sample,
    VideoBatch,
    VideoSample,
    stack_signals,
)

Split = Literal["train", "val", "test"]

OWN = ("caption", "id", "video", "latents", "latent_shape")
"""Inputs of every clip, whose names a dataset cannot give to others."""


@kind("dataset", given=("split",))
class VideoDataset(Dataset[Sample], ABC):
    """Clips with captions, by index.

    The same index gives the same clip in every process and on every machine, so that a run can be
    repeated and resumed; a dataset that draws anything draws it from its seed and the index.
    A clip is pixels (``VideoSample``), or latents that an autoencoder gave (``LatentSample``).
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
        held_out: whether no clip of this split is trained on (of ``val`` and ``test``); what is
            measured on others says how well clips are learnt by heart.
    """

    draws_anew: bool = False
    num_sizes: int = 1
    num_files: int = 0
    held_out: bool = True

    @abstractmethod
    def __len__(self) -> int:
        """The number of clips in one epoch of this split."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """The clip at ``index``; an unreadable one raises or is replaced, as its class says."""

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Sample]:
        """All clips of one batch at once; override where that is faster than one by one."""
        return [self[index] for index in indices]

    def __iter__(self) -> Iterator[Sample]:
        """One epoch, in order; of several sizes, each clip has the next one."""
        return (self[clip * self.num_sizes + clip % self.num_sizes] for clip in range(len(self)))

    def problems(self) -> dict[str, str]:
        """Files that this process has left out so far, with the reasons; loaders report them."""
        return {}

    def fingerprint(self) -> str:
        """Hash of the clips' content; empty if the settings determine it.

        A ``ValueError`` if there are files, and the class does not say how to tell.
        """
        if self.num_files:
            raise ValueError(
                f"{type(self).__name__} has files and no fingerprint(), so nobody could tell "
                "whether what is made from its clips is stale: implement it"
            )
        return ""


class MakeDataset(Protocol):
    """A dataset with everything set but the split.

    Args:
        split: ``train``, ``val`` or ``test``.
    """

    def __call__(self, *, split: Split) -> VideoDataset: ...


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack clips of one size into a batch, all of pixels or all of latents.

    A ``ValueError`` if shapes differ, clips are not RGB, or a value is NaN or infinite.
    """
    if encoded := [sample for sample in samples if isinstance(sample, LatentSample)]:
        assert len(encoded) == len(samples), "a dataset gives pixels or latents, not both"
        return _collate_latents(encoded)
    return _collate_pixels([sample for sample in samples if isinstance(sample, VideoSample)])


def _collate_pixels(samples: Sequence[VideoSample]) -> VideoBatch:
    shapes = {tuple(sample.pixels.shape) for sample in samples}
    if len(shapes) != 1:
        raise ValueError(
            f"clips of one batch must have one shape (c, f, h, w), got {sorted(shapes)}"
        )
    shape = tuple(samples[0].pixels.shape)
    if len(shape) != 4 or shape[0] != 3:
        raise ValueError(
            f"clip {samples[0].id!r} has pixels of shape {shape}: its dataset must give RGB, "
            "(3, f, h, w)"
        )
    return VideoBatch(
        pixels=_finite(torch.stack([sample.pixels for sample in samples]), samples),
        captions=[sample.caption for sample in samples],
        ids=[sample.id for sample in samples],
        extra=_collate_inputs(samples),
    )


def _collate_inputs(samples: Sequence[VideoSample]) -> dict[str, Any]:
    """Tensors stacked, numbers as a tensor, anything else as a list."""
    names = set(samples[0].inputs)
    if odd := [sample for sample in samples if set(sample.inputs) != names]:
        raise ValueError(
            f"clip {odd[0].id!r} has inputs {sorted(odd[0].inputs)}, and {samples[0].id!r} has "
            f"{sorted(names)}: all clips of a dataset must have the same"
        )
    if taken := names & {*OWN}:
        raise ValueError(
            f"clip {samples[0].id!r} has an input {min(taken)!r}, which every clip has: give it "
            "another name"
        )
    found: dict[str, Any] = {}
    for name in samples[0].inputs:
        values = [sample.inputs[name] for sample in samples]
        if isinstance(values[0], Tensor):
            if len(shapes := {tuple(value.shape) for value in values}) > 1:
                raise ValueError(
                    f"input {name!r} of the clips of one batch must have one shape, got "
                    f"{sorted(shapes)}"
                )
            found[name] = torch.stack(values)
        else:
            found[name] = torch.tensor(values) if isinstance(values[0], (int, float)) else values
    return found


def _collate_latents(samples: Sequence[LatentSample]) -> LatentBatch:
    shapes = {(*sample.latents.shape, *sample.size) for sample in samples}
    if len(shapes) != 1:
        raise ValueError(f"latents of one batch must have one shape and size, got {sorted(shapes)}")
    return LatentBatch(
        latents=_finite(torch.stack([sample.latents for sample in samples]), samples),
        size=samples[0].size,
        captions=[sample.caption for sample in samples],
        ids=[sample.id for sample in samples],
        signals={
            name: stack_signals([sample.signals[name] for sample in samples])
            for name in samples[0].signals
        },
        empty=samples[0].empty,
    )


def _finite(values: Tensor, samples: Sequence[Sample]) -> Tensor:
    """``values``, if all are finite. Looked at here, as on a GPU each step would have to wait."""
    if not values.sum().isfinite():
        for sample, finite in zip(samples, values.isfinite().flatten(1).all(1), strict=True):
            if not finite:
                raise ValueError(
                    f"clip {sample.id!r} has values that are NaN or infinite: remove it, or mend "
                    "the dataset that gives it"
                )
    return values
