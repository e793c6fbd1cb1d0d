"""Discriminator interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn

from vidiff.registry import kind


@kind("discriminator")
class Discriminator(nn.Module, ABC):
    """Tells real videos from reconstructed ones, patch by patch."""

    @abstractmethod
    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (b, 3, f, h, w) in [-1, 1] to logits (b, 1, ...), higher for what looks real."""


class MakeDiscriminator(Protocol):
    """A discriminator with everything set."""

    def __call__(self) -> Discriminator: ...
