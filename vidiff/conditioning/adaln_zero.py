"""adaLN-Zero (DiT, Peebles & Xie 2023, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.conditioning.base import Block, Context
from vidiff.conditioning.modulated import Modulated, modulate, per_token
from vidiff.layers import Modulation
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("adaln_zero")
class AdaLNZero(Modulated):
    """Time and the conditions' vectors scale, shift and gate every layer; gates start at zero."""

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        return AdaLNZeroBlock(self.width, attention, mlp)


class AdaLNZeroBlock(Block):
    """Attention and MLP, each behind an adaptive norm and a gate that starts at zero."""

    def __init__(self, width: int, attention: Attention, mlp: nn.Module) -> None:
        super().__init__(attention, mlp)
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = Modulation(width, 6 * width)

    def forward(self, tokens: Tensor, context: Context, layout: Layout) -> Tensor:
        signal = per_token(self.modulation(nn.functional.silu(context.vector)), tokens)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = signal.chunk(6, dim=-1)
        mixed = self.attention(modulate(self.norm_attention(tokens), shift_a, scale_a), layout)
        tokens = torch.addcmul(tokens, gate_a, mixed)
        found = self.mlp(modulate(self.norm_mlp(tokens), shift_m, scale_m))
        return torch.addcmul(tokens, gate_m, found)
