"""Patchifier interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn

from vidiff.registry import kind
from vidiff.types import Grid


@kind("patchifier", given=("in_channels", "out_channels", "width"))
class Patchifier(nn.Module, ABC):
    """Turns latents into tokens of the model's width, and tokens back into latents."""

    @abstractmethod
    def grid(self, frames: int, height: int, width: int) -> Grid:
        """The number of tokens along each axis for latents of a size that divides into patches.

        Of others a ``ValueError`` names the nearest that does.
        """

    @abstractmethod
    def embed(self, latents: Tensor) -> Tensor:
        """Latents (b, in_channels, f, h, w) to tokens (b, n, d), in the order of ``(f h w)``."""

    @abstractmethod
    def unembed(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Tokens (b, n, d) to (b, out_channels, f, h, w)."""


class MakePatchifier(Protocol):
    """A patchifier with everything set but the dimensions.

    Args:
        in_channels: channels of the latents that are embedded.
        out_channels: channels of those that tokens become.
        width: of a token.
    """

    def __call__(self, *, in_channels: int, out_channels: int, width: int) -> Patchifier: ...
