"""adaLN without gates (DiT, Peebles & Xie 2023, section 3.2; FiLM, Perez et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.conditioning.base import Block, Condition
from vidiff.conditioning.modulation import AdaptiveNorm, PooledText
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("adaln")
class AdaLN(PooledText):
    """Time and the pooled text scale and shift every layer's input; its output is added as it is.

    Scales start at one and shifts at zero: an untrained block is a plain pre-norm transformer
    block, not the identity that ``adaln_zero`` starts from. The paper leaves this start open.

    Args:
        width: width of a token.
        num_heads: not used.
        text_dim: width of the text features; 0 for a model without text.
        project_text: map the pooled text linearly; False adds it as it is, as DiT does with
            classes, and needs ``text_dim`` to be the width.

    Raises:
        ValueError: if text that is to be added as it is does not have the width of a token.
    """

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        return AdaLNBlock(self.width, attention, mlp)


class AdaLNBlock(Block):
    """Attention and MLP, each behind an adaptive norm."""

    def __init__(self, width: int, attention: Attention, mlp: nn.Module) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp
        self.norm_attention, self.norm_mlp = AdaptiveNorm(width), AdaptiveNorm(width)

    def forward(self, tokens: Tensor, condition: Condition, layout: Layout) -> Tensor:
        tokens = tokens + self.attention(self.norm_attention(tokens, condition), layout)
        return tokens + self.mlp(self.norm_mlp(tokens, condition))
