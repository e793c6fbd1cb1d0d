"""The one place that calls ``scaled_dot_product_attention``, over all tokens or within groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from vidiff.positions.base import Layout

SHORT = 128
"""Up to so many queries and keys the CPU trains faster in bf16 with its plain kernel than flash."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of (b, heads, n, head_dim) queries over (b, heads, l, head_dim) keys and values.

    ``mask`` is True where a key may be attended to: (b, l), or (b, n, l) where queries differ.
    """
    if mask is not None:
        mask = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
    is_short = max(q.shape[-2], k.shape[-2]) <= SHORT
    if is_short and q.device.type == "cpu" and q.dtype == torch.bfloat16:
        # The backward pass of the CPU's flash kernel is slow for short rows of bfloat16: with 48
        # tokens the plain kernel takes 0.4 of its time, with 256 it takes twice as long. In float32
        # flash is always ahead (experiments/benchmarks/attention.py).
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def split_heads(projected: Tensor, parts: int, num_heads: int) -> Tensor:
    """Queries, keys or values side by side, (b, n, parts d), by head: (parts, b, heads, n, d')."""
    return rearrange(
        projected, "b n (parts heads d) -> parts b heads n d", parts=parts, heads=num_heads
    )


def merge_heads(mixed: Tensor) -> Tensor:
    """(b, heads, n, head_dim) to (b, n, d)."""
    return rearrange(mixed, "b heads n d -> b n (heads d)")


@dataclass
class Groups:
    """A way to part a video's tokens into groups of one size that attend within themselves.

    ``part`` takes (b, heads, n, head_dim), of any heads and head_dim, to (b * groups, heads, size,
    head_dim), padded with zeros; ``join`` undoes it.
    """

    part: Callable[[Tensor], Tensor]
    join: Callable[[Tensor], Tensor]
    mask: Tensor | None = None  # (groups, size, size), True where a query may attend to a key


def attend_in_groups(
    q: Tensor, k: Tensor, v: Tensor, groups: Groups, layout: Layout, mask: Tensor | None = None
) -> Tensor:
    """Each group of video tokens attends to itself and to the context, the context to all tokens.

    Arguments as those of ``MultiHead.mix``.
    """
    num_video = math.prod(layout.grid)
    num_context, num_asking = k.shape[2] - num_video, q.shape[2] - num_video  # with a query
    own_q = groups.part(q[:, :, num_asking:])
    own_k, own_v = groups.part(k[:, :, num_context:]), groups.part(v[:, :, num_context:])
    num_groups = len(own_q) // len(q)
    if num_context:
        own_k, own_v = (
            torch.cat([x[:, :, :num_context].repeat_interleave(num_groups, 0), own], dim=2)
            for x, own in ((k, own_k), (v, own_v))
        )
    own_mask = _mask_of_groups(groups, len(q), num_groups, num_context, mask)
    video = groups.join(attend(own_q, own_k, own_v, own_mask))
    if not num_asking:
        return video
    return torch.cat([attend(q[:, :, :num_asking], k, v, mask), video], dim=2)


def _mask_of_groups(
    groups: Groups, batch: int, num_groups: int, num_context: int, mask: Tensor | None
) -> Tensor | None:
    """Which keys the queries of a group may attend to, as ``attend`` takes it."""
    among = None
    if groups.mask is not None:
        among = F.pad(groups.mask.repeat(batch, 1, 1), (num_context, 0), value=True)
    if mask is None:
        return among
    hidden = groups.part(~mask[:, None, num_context:, None])[:, 0, :, 0]  # padding is not hidden
    context = mask[:, :num_context].repeat_interleave(num_groups, 0)
    keys = torch.cat([context, ~hidden], dim=1)
    return keys if among is None else among & keys[:, None]
