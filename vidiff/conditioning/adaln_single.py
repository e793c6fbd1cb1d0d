"""adaLN-single and cross-attention (PixArt-alpha, Chen et al. 2024, section 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.conditioning.base import Block, Condition, Conditioning
from vidiff.conditioning.cross_attention import AttendContext
from vidiff.conditioning.modulation import modulate
from vidiff.conditioning.text import check_text_width
from vidiff.positions.base import Layout
from vidiff.registry import register
from vidiff.types import TextFeatures


@register("adaln_single")
class AdaLNSingle(Conditioning):
    """Time scales, shifts and gates through one map for all blocks; text by cross-attention.

    Each block adds a small table of its own to what the map gives, in the place of a map of its
    own. Cross-attention starts at zero.

    Args:
        width: width of a token.
        num_heads: heads that share the width.
        text_dim: width of the text features; 0 for a model without text.
        project_text: map text tokens by a two-layer MLP; False takes them as they are, and needs
            ``text_dim`` to be the width.

    Raises:
        ValueError: if text that is to be taken as it is does not have the width of a token.
    """

    def __init__(
        self, *, width: int, num_heads: int, text_dim: int, project_text: bool = True
    ) -> None:
        super().__init__()
        check_text_width(width, text_dim, project_text)
        self.width, self.num_heads, self.has_text = width, num_heads, text_dim > 0
        self.modulation = nn.Linear(width, 6 * width)
        self.text: nn.Module = nn.Identity()
        if text_dim and project_text:
            self.text = nn.Sequential(
                nn.Linear(text_dim, width), nn.GELU(approximate="tanh"), nn.Linear(width, width)
            )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def prepare(self, time: Tensor, text: TextFeatures | None) -> Condition:
        """The vector is (b, 7 d): time itself, for the last norm, and what all blocks share."""
        shared = self.modulation(nn.functional.silu(time))
        vector = torch.cat([time, shared], dim=-1)
        if text is None:
            return Condition(vector)
        return Condition(vector, self.text(text.tokens), text.mask)

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        return AdaLNSingleBlock(self.width, self.num_heads if self.has_text else 0, attention, mlp)

    def make_last_norm(self) -> nn.Module:
        return SingleNorm(self.width)


class AdaLNSingleBlock(Block):
    """Gated self-attention, attention to the text's tokens, gated MLP.

    Args:
        width: width of a token.
        num_context_heads: heads that attend to text; 0 for a model without text.
        attention: self-attention.
        mlp: the MLP.
    """

    def __init__(
        self, width: int, num_context_heads: int, attention: Attention, mlp: nn.Module
    ) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp
        self.attend_context = None
        if num_context_heads:
            self.attend_context = AttendContext(width, num_context_heads, start_at_zero=True)
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation_table = nn.Parameter(torch.randn(6, width) / width**0.5)

    def forward(self, tokens: Tensor, condition: Condition, layout: Layout) -> Tensor:
        shared = condition.vector.unflatten(-1, (7, -1))[:, 1:]
        # Section 2.3: S^(i) = g(S, E^(i)), the sum of what is shared and the block's table.
        signal = (self.modulation_table + shared).chunk(6, dim=1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = signal
        mixed = self.attention(modulate(self.norm_attention(tokens), shift_a, scale_a), layout)
        tokens = torch.addcmul(tokens, gate_a, mixed)
        if self.attend_context is not None and condition.tokens is not None:
            tokens = tokens + self.attend_context(tokens, condition)  # without a norm, as PixArt
        found = self.mlp(modulate(self.norm_mlp(tokens), shift_m, scale_m))
        return torch.addcmul(tokens, gate_m, found)


class SingleNorm(nn.Module):
    """LayerNorm with scale and shift from a table plus the time embedding itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation_table = nn.Parameter(torch.randn(2, width) / width**0.5)

    def forward(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Tokens (b, n, d) to the same shape."""
        time = condition.vector.unflatten(-1, (7, -1))[:, :1]
        shift, scale = (self.modulation_table + time).chunk(2, dim=1)
        return modulate(self.norm(tokens), shift, scale)
