"""Position encoding interface."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from vidiff.registry import kind
from vidiff.types import Grid

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines, each (n, head_dim / 2)."""


@dataclass
class Layout:
    """The places of the video's tokens, for attention layers."""

    grid: Grid  # number of tokens along frames, height and width, with product n
    rotary: Rotary | None = None  # angles for the n tokens' queries and keys


@kind("positions", given=("width", "num_heads"))
class Positions(nn.Module, ABC):
    """Position encodings: vectors added to tokens, rotated queries and keys, or both.

    Tokens are in the order of ``(f h w)``. Any grid is possible unless the class says otherwise.
    """

    def check_depth(self, num_blocks: int) -> None:
        """Raises a ``ValueError`` if some position would never be added in so many blocks."""

    def add(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Tokens (b, n, d) with positions added; as they are, by default."""
        return tokens

    def add_before_block(self, block: int, tokens: Tensor, grid: Grid) -> Tensor:
        """Input tokens (b, k + n, d) of a block, the video's n last; unchanged by default."""
        return tokens

    def rotary(self, grid: Grid, device: torch.device) -> Rotary | None:
        """Angles that rotate queries and keys in every attention layer; none by default."""
        return None


class MakePositions(Protocol):
    """Positions with everything set but the dimensions.

    Args:
        width: of a token.
        num_heads: attention heads; each rotates ``width / num_heads`` channels.
    """

    def __call__(self, *, width: int, num_heads: int) -> Positions: ...


def coordinates(grid: Grid, device: torch.device) -> Tensor:
    """The place of each token along frames, height and width: (n, 3), float32."""
    axes = [torch.arange(extent, dtype=torch.float32, device=device) for extent in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def pairs_of_channels(num_pairs: int, shares: tuple[float, float, float]) -> list[int]:
    """Pairs of channels of frames, height and width by their shares; some may be left over."""
    if min(shares) < 0 or sum(shares) == 0:
        raise ValueError(f"shares must not be negative nor all zero, got {list(shares)}")
    return [int(num_pairs * share / sum(shares)) for share in shares]


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Turn each pair of channels of (b, heads, n, head_dim) by its angle (RoFormer, eq. 34)."""
    cos, sin = (table.to(x.dtype) for table in rotary)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
