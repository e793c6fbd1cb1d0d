"""Cross-attention to time and text (DiT, Peebles & Xie 2023, section 3.2; Rombach et al. 2022)."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.attention.functional import attend
from vidiff.conditioning.base import Block, Condition, Conditioning
from vidiff.conditioning.context import ContextTokens, PlainNorm
from vidiff.conditioning.modulation import ZeroLinear
from vidiff.positions.base import Layout
from vidiff.registry import register
from vidiff.types import TextFeatures


@register("cross_attention")
class CrossAttention(Conditioning):
    """Each block has one more attention layer, from the video's tokens to time and text tokens.

    Args:
        width: width of a token.
        num_heads: heads that share the width.
        text_dim: width of the text features; 0 for a model without text.
        project_text: map the text's tokens linearly; False takes them as they are, as DiT does
            with classes, and needs ``text_dim`` to be the width.

    Raises:
        ValueError: if text that is to be taken as it is does not have the width of a token.
    """

    def __init__(
        self, *, width: int, num_heads: int, text_dim: int, project_text: bool = True
    ) -> None:
        super().__init__()
        self.width, self.num_heads = width, num_heads
        self.context = ContextTokens(width, text_dim, project_text)

    def prepare(self, time: Tensor, text: TextFeatures | None) -> Condition:
        return self.context(time, text)

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        return CrossAttentionBlock(self.width, self.num_heads, attention, mlp)

    def make_last_norm(self) -> nn.Module:
        return PlainNorm(self.width)


class CrossAttentionBlock(Block):
    """Self-attention, attention to the context, MLP."""

    def __init__(self, width: int, num_heads: int, attention: Attention, mlp: nn.Module) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp
        self.attend_context = AttendContext(width, num_heads)
        self.norm_attention = nn.LayerNorm(width, eps=1e-6)
        self.norm_context = nn.LayerNorm(width, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: Tensor, condition: Condition, layout: Layout) -> Tensor:
        tokens = tokens + self.attention(self.norm_attention(tokens), layout)
        tokens = tokens + self.attend_context(self.norm_context(tokens), condition)
        return tokens + self.mlp(self.norm_mlp(tokens))


class AttendContext(nn.Module):
    """Multi-head attention with queries from the video and keys and values from the context."""

    def __init__(self, width: int, num_heads: int, start_at_zero: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = ZeroLinear(width, width) if start_at_zero else nn.Linear(width, width)

    def forward(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Tokens (b, n, d) to the same shape."""
        assert condition.tokens is not None
        assert condition.mask is not None
        q = rearrange(self.q(tokens), "b n (heads d) -> b heads n d", heads=self.num_heads)
        k, v = rearrange(
            self.kv(condition.tokens), "b l (two heads d) -> two b heads l d",
            two=2, heads=self.num_heads,
        )  # fmt: skip
        mixed = attend(q, k, v, condition.mask)
        return self.out(rearrange(mixed, "b heads n d -> b n (heads d)"))
