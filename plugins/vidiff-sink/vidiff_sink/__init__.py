"""Attention with a learned sink per head (Xiao et al. 2024, section 3.3; gpt-oss, 2025).

Softmax makes every head look somewhere, even where nothing is of use to it. One more key per head,
learned, with a value of zero, is a place to look at nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vidiff.attention import Full, attend
from vidiff.positions import Layout
from vidiff.registry import register

__all__ = ["Sink"]


@register("sink")
class Sink(Full):
    """Full attention whose heads may look at nothing: a learned key with a value of zero."""

    def __init__(self, *, width: int, num_heads: int, **given: Any) -> None:
        super().__init__(width=width, num_heads=num_heads, **given)
        self.sink = nn.Parameter(torch.zeros(num_heads, 1, width // num_heads))

    def mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
        k = torch.cat([self.sink.to(k.dtype).expand(len(k), -1, -1, -1), k], dim=2)
        v = nn.functional.pad(v, (0, 0, 1, 0))
        if mask is not None:
            mask = nn.functional.pad(mask, (1, 0), value=True)
        return attend(q, k, v, mask)
