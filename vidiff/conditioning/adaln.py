"""adaLN without gates (DiT, Peebles & Xie 2023, section 3.2; FiLM, Perez et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.conditioning.base import Block, Context
from vidiff.conditioning.modulated import AdaptiveNorm, Modulated
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("adaln")
class AdaLN(Modulated):
    """Time and vectors scale and shift every layer's input; its output is added as it is.

    Scales start at one and shifts at zero: an untrained block is a plain pre-norm transformer
    block, not the identity that ``adaln_zero`` starts from. The paper leaves this start open.
    """

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        return AdaLNBlock(self.width, attention, mlp)


class AdaLNBlock(Block):
    """Attention and MLP, each behind an adaptive norm."""

    def __init__(self, width: int, attention: Attention, mlp: nn.Module) -> None:
        super().__init__(attention, mlp)
        self.norm_attention, self.norm_mlp = AdaptiveNorm(width), AdaptiveNorm(width)

    def forward(self, tokens: Tensor, context: Context, layout: Layout) -> Tensor:
        tokens = tokens + self.attention(self.norm_attention(tokens, context), layout)
        return tokens + self.mlp(self.norm_mlp(tokens, context))
