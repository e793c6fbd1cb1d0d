"""What is taken from each clip once, and kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from vidiff.registry import kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vidiff_eval.protocol import Protocol

Found = dict[str, "Tensor"]
"""Tensors by name, on the CPU; their first axis is that of clips."""


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
        """The tensor ``features`` that is found of clips (b, 3, f, h, w) in [-1, 1]."""
        return self.extract(clips)["features"]

    def follow(self, protocol: Protocol) -> None:
        """Take what the protocol says of the way from clips to the network; by default nothing."""
        return

    def to(self, device: torch.device | str) -> None:
        """Compute on ``device`` from now on."""
        self.device = device
