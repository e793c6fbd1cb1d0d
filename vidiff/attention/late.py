"""Spatial blocks first, temporal ones after (Latte, Ma et al. 2024, section 3.2, variant 2)."""

from __future__ import annotations

from vidiff.attention.alternating import Alternating
from vidiff.registry import register


@register("late")
class Late(Alternating):
    """The first half of the blocks attends within each frame, the second along time."""

    def comes_late(self) -> bool:
        return 2 * self.block >= self.num_blocks
