"""Spatial and temporal blocks in turn (Latte, Ma et al. 2024, section 3.2, variant 1)."""

from __future__ import annotations

import math

from einops import rearrange
from torch import Tensor

from vidiff.attention.functional import Groups, attend_in_groups
from vidiff.attention.multi_head import MultiHead
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("alternating")
class Alternating(MultiHead):
    """Even blocks attend within each frame, odd blocks along time at each place.

    Args:
        width: width of a token.
        num_heads: heads that share the width.
        block: number of the block that it stands in, from 0 on: even is spatial, odd temporal.
        num_blocks: number of blocks.
        qk_norm: normalise queries and keys per head by RMSNorm.

    Raises:
        ValueError: if the width does not divide among the heads, or there is one block alone.
    """

    def __init__(
        self, *, width: int, num_heads: int, block: int, num_blocks: int, qk_norm: bool = False
    ) -> None:
        super().__init__(
            width=width, num_heads=num_heads, block=block, num_blocks=num_blocks, qk_norm=qk_norm
        )
        check_two_blocks("alternating", num_blocks)
        self.attend = temporal if block % 2 else spatial

    def mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
        return self.attend(q, k, v, layout, mask)


def spatial(q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
    """Attention within each frame, and to the context; arguments as ``MultiHead.mix``."""
    frames = Groups(
        lambda x: rearrange(x, "b heads (f s) d -> (b f) heads s d", f=layout.grid[0]),
        lambda x: rearrange(x, "(b f) heads s d -> b heads (f s) d", f=layout.grid[0]),
    )
    return attend_in_groups(q, k, v, frames, k.shape[2] - math.prod(layout.grid), mask)


def temporal(q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
    """Attention along time at each place, and to the context; arguments as ``MultiHead.mix``."""
    num_places = layout.grid[1] * layout.grid[2]
    places = Groups(
        lambda x: rearrange(x, "b heads (f s) d -> (b s) heads f d", s=num_places),
        lambda x: rearrange(x, "(b s) heads f d -> b heads (f s) d", s=num_places),
    )
    return attend_in_groups(q, k, v, places, k.shape[2] - math.prod(layout.grid), mask)


def check_two_blocks(name: str, num_blocks: int) -> None:
    """Refuse a model that has room for one of two kinds of blocks.

    Raises:
        ValueError: if there are fewer than two blocks.
    """
    if num_blocks < 2:
        raise ValueError(
            f"{name} attention needs a spatial and a temporal block, got num_blocks={num_blocks}: "
            "set depth to at least 2, or use full, serial or split_heads"
        )
