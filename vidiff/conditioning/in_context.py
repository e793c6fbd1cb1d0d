"""In-context conditioning (DiT, Peebles & Xie 2023, section 3.2; U-ViT, Bao et al. 2023)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.conditioning.as_tokens import AsTokens
from vidiff.conditioning.base import Block, Context
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("in_context")
class InContext(AsTokens):
    """Time and conditions precede the video's tokens in one sequence; dropped at the end."""

    tokens_first: ClassVar[bool] = True

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        return InContextBlock(self.width, attention, mlp)


class InContextBlock(Block):
    """A plain pre-norm transformer block, in which no token attends to padding."""

    def __init__(self, width: int, attention: Attention, mlp: nn.Module) -> None:
        super().__init__(attention, mlp)
        self.norm_attention = nn.LayerNorm(width, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: Tensor, context: Context, layout: Layout) -> Tensor:
        assert context.mask is not None
        num_video = tokens.shape[1] - context.mask.shape[1]
        mask = nn.functional.pad(context.mask, (0, num_video), value=True)
        tokens = tokens + self.attention(self.norm_attention(tokens), layout, mask)
        return tokens + self.mlp(self.norm_mlp(tokens))
