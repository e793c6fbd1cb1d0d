"""Multi-head attention (Vaswani et al. 2017, section 3.2.2): what every layout shares."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.attention.functional import merge_heads, split_heads
from vidiff.checks import among_heads
from vidiff.layers import Linear
from vidiff.positions.base import Layout, Rotary, rotate


class Projections(nn.Module):
    """Tokens to every head's queries, keys and values, and back to tokens."""

    def __init__(self, width: int, num_heads: int, qk_norm: bool = False) -> None:
        super().__init__()
        among_heads(num_heads, width=width)
        head_dim = width // num_heads
        self.num_heads, self.qk_norm = num_heads, qk_norm
        self.qkv = Linear(width, 3 * width)
        self.norm_q = HeadNorm(head_dim) if qk_norm else nn.Identity()
        self.norm_k = HeadNorm(head_dim) if qk_norm else nn.Identity()
        self.out = Linear(width, width)

    def split(self, tokens: Tensor, rotary: Rotary | None) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (b, k + n, d) to queries, keys and values, (b, heads, k + n, head_dim).

        Rotary positions turn the last n queries and keys.
        """
        q, k, v = split_heads(self.qkv(tokens), 3, self.num_heads)
        q, k = self.norm_q(q), self.norm_k(k)
        if rotary is not None:
            q, k = _rotate_video(q, rotary), _rotate_video(k, rotary)
        return q, k, v

    def merge(self, mixed: Tensor) -> Tensor:
        """The heads' output, (b, heads, n, head_dim), to tokens (b, n, d)."""
        return self.out(merge_heads(mixed))


class HeadNorm(nn.RMSNorm):
    """RMSNorm in the precision of what it normalises, which its fused kernel needs."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, heads, n, head_dim) to the same shape."""
        weight = self.weight.to(x.dtype)
        return nn.functional.rms_norm(x, self.normalized_shape, weight, self.eps)


class MultiHead(Projections, Attention):
    """Attention with one set of projections; a layout decides how queries, keys and values mix.

    Args:
        qk_norm: normalise queries and keys per head by RMSNorm (Dehghani et al. 2023; SD3).

    Attributes:
        min_blocks: fewest blocks of a model in which the layout means anything; fewer are refused.
    """

    min_blocks: ClassVar[int] = 1

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        block: int = 0,
        num_blocks: int = 1,
        qk_norm: bool = False,
    ) -> None:
        super().__init__(width, num_heads, qk_norm)
        if num_blocks < self.min_blocks:
            raise ValueError(
                f"{type(self).__name__} attention needs {self.min_blocks} kinds of blocks, got "
                f"num_blocks={num_blocks}: set depth to at least {self.min_blocks}, or use full, "
                "serial or split_heads"
            )
        self.block, self.num_blocks = block, num_blocks

    @property
    def is_last(self) -> bool:
        """Whether it is in the last block."""
        return self.block == self.num_blocks - 1

    def forward(self, tokens: Tensor, layout: Layout, mask: Tensor | None = None) -> Tensor:
        return self.merge(self.mix(*self.split(tokens, layout.rotary), layout, mask))

    @abstractmethod
    def mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
        """Attention output, in the shape of ``q``.

        Args:
            q: (b, heads, k + n, head_dim), already rotated; only the n video queries where the
                context's output is unused (last block).
            k: (b, heads, k + n, head_dim), already rotated, the context's k first.
            v: like ``k``.
            layout: the video tokens' grid.
            mask: (b, k + n), True where a token may be attended to, or None for all.
        """


def _rotate_video(x: Tensor, rotary: Rotary) -> Tensor:
    """Rotate the video's tokens, which come last, and leave context tokens as they are."""
    num_context = x.shape[2] - rotary[0].shape[0]
    if num_context == 0:
        return rotate(x, rotary)
    context, video = x[:, :, :num_context], x[:, :, num_context:]
    return torch.cat([context, rotate(video, rotary)], dim=2)
