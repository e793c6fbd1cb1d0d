"""Full space-time attention (Vaswani et al. 2017): every token sees every token of the video."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.attention.functional import attend
from vidiff.positions.base import Layout, Rotary, rotate
from vidiff.registry import register


@register("full")
class Full(Attention):
    """Multi-head attention over all tokens at once.

    Args:
        width: width of a token.
        num_heads: heads that share the width.
        block: not used.
        num_blocks: not used.
        qk_norm: normalise queries and keys per head by RMSNorm (Dehghani et al. 2023; SD3).

    Raises:
        ValueError: if the width does not divide among the heads.
    """

    def __init__(
        self, *, width: int, num_heads: int, block: int, num_blocks: int, qk_norm: bool = False
    ) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"width {width} does not divide among num_heads {num_heads}")
        head_dim = width // num_heads
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.norm_q = nn.RMSNorm(head_dim) if qk_norm else nn.Identity()
        self.norm_k = nn.RMSNorm(head_dim) if qk_norm else nn.Identity()
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, layout: Layout, mask: Tensor | None = None) -> Tensor:
        q, k, v = rearrange(
            self.qkv(tokens),
            "b n (three heads d) -> three b heads n d",
            three=3,
            heads=self.num_heads,
        )
        q, k = self.norm_q(q), self.norm_k(k)
        if layout.rotary is not None:
            q, k = _rotate_video(q, layout.rotary), _rotate_video(k, layout.rotary)
        return self.out(rearrange(self.mix(q, k, v, mask), "b heads n d -> b n (heads d)"))

    def mix(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Queries, keys and values (b, heads, n, head_dim), turned already, to the same shape."""
        return attend(q, k, v, mask)


def _rotate_video(x: Tensor, rotary: Rotary) -> Tensor:
    """Turn the video's tokens, which come last, and leave context tokens as they are."""
    num_context = x.shape[2] - rotary[0].shape[0]
    if num_context == 0:
        return rotate(x, rotary)
    context, video = x[:, :, :num_context], x[:, :, num_context:]
    return torch.cat([context, rotate(video, rotary)], dim=2)
