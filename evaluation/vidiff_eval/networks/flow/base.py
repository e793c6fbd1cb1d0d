"""Optical flow interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from vidiff.registry import kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@kind("flow")
class OpticalFlow(ABC):
    """Optical flow: where each pixel of a frame is in the next one.

    A constructor keeps its settings and is fast; weights and packages are loaded when they are
    first needed. Flow of a pair of frames does not depend on the others in its batch.
    """

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """All that decides the flow, as plain values; its name is under ``flow``.

        Raises:
            ValueError: if a package or weights are missing, with what to do.
        """

    @abstractmethod
    def estimate(
        self, frames: Tensor, others: Tensor, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Flow (n, 2, h, w) in pixels, to the right and down, on the device of the frames.

        Args:
            frames: (n, 3, h, w) in [-1, 1], where flow starts.
            others: of the same shape, where it leads.
            device: for networks.

        Raises:
            ValueError: if frames are too small, with the size that they need.
        """


class MakeFlow(Protocol):
    """A flow with everything set."""

    def __call__(self) -> OpticalFlow: ...
