"""adaLN-Zero (DiT, Peebles & Xie 2023, section 3.2)."""

from __future__ import annotations

from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.conditioning.base import Block, Condition, Conditioning
from vidiff.positions.base import Layout
from vidiff.registry import register
from vidiff.types import TextFeatures


@register("adaln_zero")
class AdaLNZero(Conditioning):
    """Time and the pooled text scale, shift and gate every layer; gates start at zero.

    The prompt enters as one vector, so word order reaches the video only through the text encoder.

    Args:
        width: width of a token.
        num_heads: not used.
        text_dim: width of the text features; 0 for a model without text.
    """

    def __init__(self, *, width: int, num_heads: int, text_dim: int) -> None:
        super().__init__()
        self.width = width
        self.text = nn.Linear(text_dim, width) if text_dim else None

    def prepare(self, time: Tensor, text: TextFeatures | None) -> Condition:
        if text is None:
            return Condition(time)
        assert self.text is not None
        return Condition(time + self.text(text.pooled))

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        return AdaLNZeroBlock(self.width, attention, mlp)

    def make_last_norm(self) -> nn.Module:
        return AdaptiveNorm(self.width)


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
        tokens = tokens + gate_a * mixed
        return tokens + gate_m * self.mlp(modulate(self.norm_mlp(tokens), shift_m, scale_m))


class AdaptiveNorm(nn.Module):
    """LayerNorm with scale and shift from the condition's vector, starting at one and zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = ZeroLinear(width, 2 * width)

    def forward(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Tokens (b, n, d) to the same shape."""
        signal = self.modulation(nn.functional.silu(condition.vector)).unsqueeze(1)
        shift, scale = signal.chunk(2, dim=-1)
        return modulate(self.norm(tokens), shift, scale)


def modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """``tokens * (1 + scale) + shift``; tokens (b, n, d), shift and scale (b, 1, d)."""
    return tokens * (1 + scale) + shift


class ZeroLinear(nn.Linear):
    """A linear map that starts at zero."""

    def reset_parameters(self) -> None:
        """Called by the constructor."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
