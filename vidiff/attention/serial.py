"""Spatial, then temporal attention in every block (Latte, Ma et al. 2024, section 3.2, variant 3).

The same order as the divided attention of TimeSformer (Bertasius et al. 2021), turned around.
"""

from __future__ import annotations

from torch import Tensor, nn

from vidiff.attention.alternating import spatial, temporal
from vidiff.attention.base import Attention
from vidiff.attention.multi_head import Projections
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("serial")
class Serial(Attention):
    """Attention within each frame, then along time at each place, each with its own projections.

    Normed tokens x become ``s + temporal(norm(x + s))`` with ``s = spatial(x)``, which the block
    adds to its tokens: both are layers on one residual stream, behind a norm each, under one gate.

    Args:
        qk_norm: normalise queries and keys per head by RMSNorm.
    """

    def __init__(self, *, width: int, num_heads: int, qk_norm: bool = False) -> None:
        super().__init__()
        self.spatial = Projections(width, num_heads, qk_norm)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.temporal = Projections(width, num_heads, qk_norm)

    def forward(self, tokens: Tensor, layout: Layout, mask: Tensor | None = None) -> Tensor:
        heads = self.spatial.split(tokens, layout.rotary)
        within = self.spatial.merge(spatial(*heads, layout, mask))
        heads = self.temporal.split(self.norm(tokens + within), layout.rotary)
        return within + self.temporal.merge(temporal(*heads, layout, mask))
