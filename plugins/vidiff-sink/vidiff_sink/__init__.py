"""Attention with a learned sink per head (Xiao et al. 2024, section 3.3; gpt-oss, 2025).

Softmax makes every head look somewhere, even where nothing is of use to it. One more key per head,
learned, with a value of zero, is a place to look at nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidiff.attention import Full, attend
from vidiff.positions import Layout
from vidiff.registry import register

__all__ = ["Sink"]


@register("sink")
class Sink(Full):
    """Full attention whose heads may look at nothing: a learned key with a value of zero.

    Args:
        width: width of a token.
        num_heads: heads that share the width.
        block: not used.
        num_blocks: not used.
        qk_norm: normalise queries and keys per head; the sink's key stays as it is learned.
    """

    def __init__(
        self, *, width: int, num_heads: int, block: int, num_blocks: int, qk_norm: bool = False
    ) -> None:
        super().__init__(
            width=width, num_heads=num_heads, block=block, num_blocks=num_blocks, qk_norm=qk_norm
        )
        self.sink = nn.Parameter(torch.zeros(num_heads, 1, width // num_heads))

    def mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
        k = torch.cat([self.sink.to(k.dtype).expand(len(k), -1, -1, -1), k], dim=2)
        v = nn.functional.pad(v, (0, 0, 1, 0))
        if mask is not None:
            mask = nn.functional.pad(mask, (1, 0), value=True)
        return attend(q, k, v, mask)
