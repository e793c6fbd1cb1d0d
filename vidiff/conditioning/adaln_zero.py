"""adaLN-Zero (DiT, Peebles & Xie 2023, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.conditioning.base import Block, Condition
from vidiff.conditioning.modulation import PooledText, ZeroLinear, modulate
from vidiff.positions.base import Layout
from vidiff.registry import register


@register("adaln_zero")
class AdaLNZero(PooledText):
    """Time and the pooled text scale, shift and gate every layer; gates start at zero.

    The prompt enters as one vector, so word order reaches the video only through the text encoder.

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
        return AdaLNZeroBlock(self.width, attention, mlp)


class AdaLNZeroBlock(Block):
    """Attention and MLP, each behind an adaptive norm and a gate that starts at zero."""

    def __init__(self, width: int, attention: Attention, mlp: nn.Module) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = ZeroLinear(width, 6 * width)

    def forward(self, tokens: Tensor, condition: Condition, layout: Layout) -> Tensor:
        signal = self.modulation(nn.functional.silu(condition.vector)).unsqueeze(1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = signal.chunk(6, dim=-1)
        mixed = self.attention(modulate(self.norm_attention(tokens), shift_a, scale_a), layout)
        tokens = torch.addcmul(tokens, gate_a, mixed)
        found = self.mlp(modulate(self.norm_mlp(tokens), shift_m, scale_m))
        return torch.addcmul(tokens, gate_m, found)
