"""Attention interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn

from vidiff.positions.base import Layout
from vidiff.registry import kind


@kind("attention", given=("width", "num_heads", "block", "num_blocks"))
class Attention(nn.Module, ABC):
    """One block's self-attention: decides which tokens see which.

    A layout that changes from block to block reads its place from ``block`` (from 0) and
    ``num_blocks``. In every layout, each video token may attend to all context tokens, and each
    context token to all tokens, so that a prompt reaches the whole video.
    """

    @abstractmethod
    def forward(self, tokens: Tensor, layout: Layout, mask: Tensor | None = None) -> Tensor:
        """Mix tokens.

        Args:
            tokens: (b, k + n, d): k context tokens, often none, without a position, then the
                video's tokens in the order of ``(f h w)``.
            layout: the video tokens' grid and, where positions are rotary, their angles.
            mask: (b, k + n), True where a token may be attended to, or None for all.
        """


class MakeAttention(Protocol):
    """An attention layer with everything set but its dimensions and its place.

    Args:
        width: of a token.
        num_heads: attention heads.
        block: number of the block that it is in, from 0.
        num_blocks: of the network.
    """

    def __call__(self, *, width: int, num_heads: int, block: int, num_blocks: int) -> Attention: ...
