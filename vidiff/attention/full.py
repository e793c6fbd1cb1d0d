"""Full space-time attention (Vaswani et al. 2017): every token sees every token of the video."""

from __future__ import annotations

from torch import Tensor

from vidiff.attention.functional import attend
from vidiff.attention.multi_head import MultiHead
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("full")
class Full(MultiHead):
    """Multi-head attention over all tokens at once."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
        return attend(q, k, v, mask)
