"""Perceptual distance interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn

from vidiff.registry import kind


@kind("perceptual")
class Perceptual(nn.Module, ABC):
    """How different two videos look. Its weights are never trained; gradients pass through."""

    @abstractmethod
    def forward(self, pixels: Tensor, reference: Tensor) -> Tensor:
        """Distance of each video from its reference: (b, 3, f, h, w) in [-1, 1] twice -> (b,)."""


class MakePerceptual(Protocol):
    """A perceptual distance with everything set."""

    def __call__(self) -> Perceptual: ...
