"""Optical flow: where each pixel of a frame is in the next one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FlowName = Literal["dis", "raft"]


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


def make_flow(name: FlowName, weights: str | None = None) -> OpticalFlow:
    """The flow of a name.

    Args:
        name: ``dis`` or ``raft``.
        weights: the file of RAFT's.

    Raises:
        ValueError: if there is no such flow, or weights are given to one that has none.
    """
    if name == "dis":
        if weights is not None:
            raise ValueError("DIS has no weights: set flow to raft, or leave weights out")
        from vidiff_eval.networks.dis import DIS

        return DIS()
    if name == "raft":
        from vidiff_eval.networks.raft import RAFT

        return RAFT(Path(weights).expanduser() if weights else None)
    raise ValueError(f"unknown flow {name!r}; known: dis, raft")
