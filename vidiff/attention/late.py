"""Spatial blocks first, temporal ones after (Latte, Ma et al. 2024, section 3.2, variant 2)."""

from __future__ import annotations

from torch import Tensor

from vidiff.attention.alternating import check_two_blocks, spatial, temporal
from vidiff.attention.multi_head import MultiHead
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("late")
class Late(MultiHead):
    """The first half of the blocks attends within each frame, the second along time.

    Args:
        width: width of a token.
        num_heads: heads that share the width.
        block: number of the block that it stands in, from 0 on.
        num_blocks: number of blocks; of an odd number, the one in the middle is spatial.
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
        check_two_blocks("late", num_blocks)
        self.attend = spatial if 2 * block < num_blocks else temporal

    def mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
        return self.attend(q, k, v, layout, mask)
