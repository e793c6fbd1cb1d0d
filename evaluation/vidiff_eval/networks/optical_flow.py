"""Optical flow: where each pixel of a frame is in the next one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class OpticalFlow(ABC):
    """Finds flow: ``flow[:, 0]`` to the right and ``flow[:, 1]`` down, in pixels."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """All that decides the flow: plain values.

        Raises:
            ValueError: if a package or weights are missing; says what to do.
        """

    @abstractmethod
    def find(self, frames: Tensor, others: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Flow (n, 2, h, w) from frames (n, 3, h, w) in [-1, 1] to others, on their device.

        Args:
            frames: that flow starts from.
            others: of the same shape, that it leads to.
            device: for networks.

        Raises:
            ValueError: if frames are too small; says how large they have to be.
        """
