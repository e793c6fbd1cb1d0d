"""Cross-attention to conditions (DiT, Peebles & Xie 2023, section 3.2; Rombach et al. 2022)."""

from __future__ import annotations

from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.attention.functional import attend, merge_heads, split_heads
from vidiff.conditioning.as_tokens import AsTokens
from vidiff.conditioning.base import Block, Context
from vidiff.layers import Linear, ZeroLinear
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("cross_attention")
class CrossAttention(AsTokens):
    """Each block has one more attention layer, from the video's tokens to time and conditions."""

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        return CrossAttentionBlock(self.width, self.num_heads, attention, mlp)


class CrossAttentionBlock(Block):
    """Self-attention, attention to the context, MLP."""

    def __init__(self, width: int, num_heads: int, attention: Attention, mlp: nn.Module) -> None:
        super().__init__(attention, mlp)
        self.attend_context = AttendContext(width, num_heads)
        self.norm_attention = nn.LayerNorm(width, eps=1e-6)
        self.norm_context = nn.LayerNorm(width, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: Tensor, context: Context, layout: Layout) -> Tensor:
        tokens = tokens + self.attention(self.norm_attention(tokens), layout)
        tokens = tokens + self.attend_context(self.norm_context(tokens), context)
        return tokens + self.mlp(self.norm_mlp(tokens))


class AttendContext(nn.Module):
    """Multi-head attention with queries from the video and keys and values from the context."""

    def __init__(self, width: int, num_heads: int, start_at_zero: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = Linear(width, width)
        self.kv = Linear(width, 2 * width)
        self.out = ZeroLinear(width, width) if start_at_zero else Linear(width, width)

    def forward(self, tokens: Tensor, context: Context) -> Tensor:
        """Tokens (b, n, d) to the same shape."""
        assert context.tokens is not None
        assert context.mask is not None
        (q,) = split_heads(self.q(tokens), 1, self.num_heads)
        k, v = split_heads(self.kv(context.tokens), 2, self.num_heads)
        return self.out(merge_heads(attend(q, k, v, context.mask)))
