"""Spatial and temporal blocks in turn (Latte, Ma et al. 2024, section 3.2, variant 1)."""

from __future__ import annotations

from typing import Any, ClassVar

from einops import rearrange
from torch import Tensor

from vidiff.attention.functional import Groups, attend_in_groups
from vidiff.attention.multi_head import MultiHead
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("alternating")
class Alternating(MultiHead):
    """Even blocks attend within each frame, odd blocks along time at each place."""

    min_blocks: ClassVar[int] = 2

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.is_temporal = self.block % 2 == 1  # blocks that read their number compile one by one

    def mix(self, *args: Any) -> Tensor:
        return (temporal if self.is_temporal else spatial)(*args)


def spatial(q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
    """Attention within each frame, and to the context; arguments as ``MultiHead.mix``."""
    frames = Groups(
        lambda x: rearrange(x, "b heads (f s) d -> (b f) heads s d", f=layout.grid[0]),
        lambda x: rearrange(x, "(b f) heads s d -> b heads (f s) d", f=layout.grid[0]),
    )
    return attend_in_groups(q, k, v, frames, layout, mask)


def temporal(q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
    """Attention along time at each place, and to the context; arguments as ``MultiHead.mix``."""
    num_places = layout.grid[1] * layout.grid[2]
    places = Groups(
        lambda x: rearrange(x, "b heads (f s) d -> (b s) heads f d", s=num_places),
        lambda x: rearrange(x, "(b s) heads f d -> b heads (f s) d", s=num_places),
    )
    return attend_in_groups(q, k, v, places, layout, mask)
