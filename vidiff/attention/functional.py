"""The one place that calls ``scaled_dot_product_attention``."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

SHORT = 128
"""Up to this many queries and keys the CPU's plain kernel trains faster than its flash kernel."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of (b, heads, n, head_dim) queries over (b, heads, l, head_dim) keys and values.

    Args:
        q: queries.
        k: keys.
        v: values.
        mask: (b, l), True where a key may be attended to, or None for all.
    """
    key_mask = None if mask is None else mask[:, None, None, :]
    if q.device.type == "cpu" and max(q.shape[-2], k.shape[-2]) <= SHORT:
        # The backward pass of the CPU's flash kernel is slow for short rows: with 48 tokens the
        # plain kernel takes a third of its time, with 256 it takes 1.7 times as long
        # (experiments/benchmarks/attention.py).
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v, attn_mask=key_mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=key_mask)
