"""In-context conditioning (DiT, Peebles & Xie 2023, section 3.2; U-ViT, Bao et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.conditioning.base import Block, Condition, Conditioning
from vidiff.conditioning.context import ContextTokens, PlainNorm
from vidiff.positions.base import Layout
from vidiff.registry import register
from vidiff.types import TextFeatures


@register("in_context")
class InContext(Conditioning):
    """Time and text stand before the video's tokens in one sequence, and are dropped at the end.

    Args:
        width: width of a token.
        num_heads: not used.
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
        self.width = width
        self.context = ContextTokens(width, text_dim, project_text)

    def prepare(self, time: Tensor, text: TextFeatures | None) -> Condition:
        return self.context(time, text)

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        return InContextBlock(self.width, attention, mlp)

    def make_last_norm(self) -> nn.Module:
        return PlainNorm(self.width)

    def enter(self, tokens: Tensor, condition: Condition) -> Tensor:
        assert condition.tokens is not None
        return torch.cat([condition.tokens, tokens], dim=1)

    def leave(self, tokens: Tensor, condition: Condition) -> Tensor:
        assert condition.tokens is not None
        return tokens[:, condition.tokens.shape[1] :]


class InContextBlock(Block):
    """A plain pre-norm transformer block, in which no token attends to padding."""

    def __init__(self, width: int, attention: Attention, mlp: nn.Module) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp
        self.norm_attention = nn.LayerNorm(width, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: Tensor, condition: Condition, layout: Layout) -> Tensor:
        assert condition.mask is not None
        num_video = tokens.shape[1] - condition.mask.shape[1]
        mask = nn.functional.pad(condition.mask, (0, num_video), value=True)
        tokens = tokens + self.attention(self.norm_attention(tokens), layout, mask)
        return tokens + self.mlp(self.norm_mlp(tokens))
