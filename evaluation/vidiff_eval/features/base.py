"""What is taken from each clip once, and kept."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vidiff.registry import kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from vidiff_eval.protocols.protocol import Protocol

SLACK = 1e-3
"""What rounding may take clips out of their range by."""

Found = dict[str, "Tensor"]
"""Tensors by name, on the CPU; their first axis is that of clips."""


AXES = ("b", "3 channels", "f", "h", "w")
"""Of clips."""


def check_clips(clips: Tensor) -> None:
    """Check that clips are (b, 3, f, h, w) in [-1, 1], as floating-point numbers.

    A warning says so if they look as if they were in [0, 1].

    Raises:
        ValueError: if they are not; says which axis.
    """
    shape = tuple(clips.shape)
    if not clips.is_floating_point():
        raise ValueError(
            f"clips are floating-point numbers in [-1, 1], got {clips.dtype}: bytes become them by "
            "clips / 127.5 - 1"
        )
    if len(shape) != 5:
        raise ValueError(f"clips have five axes, {', '.join(AXES)}; got the shape {shape}")
    if shape[1] != 3:
        axis = next((axis for axis in (4, 2, 3) if shape[axis] == 3), None)
        where = f"; axis {axis} has 3: permute it there" if axis else ""
        raise ValueError(f"axis 1 of clips is the 3 channels, got the shape {shape}{where}")
    if min(shape) < 1:
        raise ValueError(
            f"clips are empty along axis {AXES[shape.index(0)]}, got the shape {shape}"
        )
    low, high = (float(end) for end in clips.detach().aminmax())
    if not (low >= -1 - SLACK and high <= 1 + SLACK):
        raise ValueError(f"clips are in [-1, 1], got values from {low:.4g} to {high:.4g}")
    if low >= 0 and low < high:
        warnings.warn(
            f"clips are in [-1, 1], and these have values from {low:.4g} to {high:.4g}: if they "
            "are in [0, 1], give 2 * clips - 1",
            stacklevel=3,
        )


def check_number(videos: Sequence[Any] | Tensor, **given: Any) -> None:
    """Raise a ``ValueError`` unless there are as many of what was given as videos, in lists."""
    for name, items in given.items():
        if items is not None and (isinstance(items, str) or len(items) != len(videos)):
            got = repr(items) if isinstance(items, str) else len(items)
            raise ValueError(f"{len(videos)} videos need as many {name}, got {got}")


@kind("features")
class Features(ABC):
    """What is taken from clips, mostly by a network; metrics compare it.

    It is kept on disk by the content of the clip and by ``settings``, so those must hold all that
    decides it: the network's name, its weights by their SHA-256, how frames are resized.
    A constructor keeps its settings and is fast; weights are read when they are first needed, and
    hashed once.

    Attributes:
        name: ends the name of a distance between such features, ``fd_<name>``.
        min_frames: frames that a clip must have.
    """

    name: ClassVar[str]
    min_frames: ClassVar[int] = 1
    device: torch.device | str = "cpu"

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """All that decides what is found: plain values.

        Raises:
            ValueError: if weights are missing or not those that they should be; says where they
                were looked for.
        """

    @abstractmethod
    def extract(self, clips: Tensor) -> Found:
        """What is found of clips (b, 3, f, h, w) in [-1, 1], which may be on any device.

        What is found of a clip does not depend on the others in its batch, but for rounding.
        """

    def __call__(self, clips: Tensor) -> Tensor:
        """The tensor ``features`` that is found of clips (b, 3, f, h, w) in [-1, 1].

        Raises:
            ValueError: if they are of another type, shape or range.
        """
        check_clips(clips)
        return self.extract(clips)["features"]

    def check_frames(self, clips: Tensor) -> None:
        """Raise a ``ValueError`` if clips (b, 3, f, h, w) have fewer frames than ``min_frames``."""
        if clips.shape[2] < self.min_frames:
            raise ValueError(
                f"the features {self.name} need at least {self.min_frames} frames, and a clip has "
                f"{clips.shape[2]}: set --protocol.num_frames to that or more"
            )

    def follow(self, protocol: Protocol) -> None:
        """Take what the protocol says of the way from clips to the network; by default nothing."""
        return

    def to(self, device: torch.device | str) -> None:
        """Compute on ``device`` from now on."""
        self.device = device


class NetworkFeatures(Features):
    """Features by a network that is loaded from a file of weights when it is first needed.

    Args:
        weights: the file; by default looked for on this machine.
    """

    def __init__(self, *, weights: str | None = None) -> None:
        self.weights = weights

    @abstractmethod
    def find_weights(self) -> Path:
        """The file of weights on this machine; a ``ValueError`` names where it was looked for."""

    @cached_property
    def path(self) -> Path:
        """The file of weights that was given, or found."""
        return Path(self.weights).expanduser() if self.weights else self.find_weights()

    @cached_property
    @abstractmethod
    def network(self) -> nn.Module:
        """The network with the weights of ``path``, on the CPU at first."""
