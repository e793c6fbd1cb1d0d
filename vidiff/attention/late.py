"""Spatial blocks first, temporal ones after (Latte, Ma et al. 2024, section 3.2, variant 2)."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from vidiff.attention.alternating import spatial, temporal
from vidiff.attention.multi_head import MultiHead
from vidiff.registry import register


@register("late")
class Late(MultiHead):
    """The first half of the blocks attends within each frame, the second along time."""

    min_blocks: ClassVar[int] = 2

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.is_temporal = 2 * self.block >= self.num_blocks

    def mix(self, *args: Any) -> Tensor:
        return (temporal if self.is_temporal else spatial)(*args)
