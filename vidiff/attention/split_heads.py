"""Spatial and temporal heads side by side (Latte, Ma et al. 2024, section 3.2, variant 4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vidiff.attention.alternating import spatial, temporal
from vidiff.attention.multi_head import MultiHead
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("split_heads")
class SplitHeads(MultiHead):
    """The first half of the heads attends within each frame, the second along time at each place.

    The number of heads is even. The output's map adds both up: a map of two halves side by side is
    the sum of two maps.
    """

    def __init__(self, *, num_heads: int, **given: Any) -> None:
        super().__init__(num_heads=num_heads, **given)
        if num_heads % 2:
            raise ValueError(
                "split_heads attention needs as many spatial as temporal heads, got "
                f"num_heads={num_heads}: set num_heads to an even number that divides the width"
            )

    def mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
        (q_s, q_t), (k_s, k_t), (v_s, v_t) = (x.chunk(2, dim=1) for x in (q, k, v))
        return torch.cat(
            [spatial(q_s, k_s, v_s, layout, mask), temporal(q_t, k_t, v_t, layout, mask)], dim=1
        )
