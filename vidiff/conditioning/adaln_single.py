"""adaLN-single and cross-attention (PixArt-alpha, Chen et al. 2024, section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.conditioning.base import Block, Conditioning, Context, Route
from vidiff.conditioning.cross_attention import AttendContext
from vidiff.conditioning.modulated import modulate, per_token
from vidiff.layers import Table
from vidiff.positions.base import Layout
from vidiff.registry import register
from vidiff.types import SignalDims, Signals


@register("adaln_single")
class AdaLNSingle(Conditioning):
    """Time scales, shifts and gates through one map for all blocks; tokens by cross-attention.

    Each block adds a small table of its own to the shared map's output. Cross-attention starts at
    zero. Tokens are mapped by a two-layer MLP; a condition without tokens adds its vector to the
    time (as PixArt's sizes of pictures do).
    """

    routes: ClassVar[tuple[Route, ...]] = (Route("tokens", "tokens"), Route("vector", "vector"))

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        signals: Mapping[str, SignalDims] | None = None,
        project: bool = True,
    ) -> None:
        super().__init__(width=width, num_heads=num_heads, signals=signals, project=project)
        self.modulation = nn.Linear(width, 6 * width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def make_map(self, dim: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(dim, self.width),
            nn.GELU(approximate="tanh"),
            nn.Linear(self.width, self.width),
        )

    def prepare(self, time: Tensor, signals: Signals) -> Context:
        """The vector is (b, 1 or f, 7 d): time itself, for the last norm, and what blocks share."""
        context = super().prepare(time, signals)
        shared = self.modulation(nn.functional.silu(context.vector))
        return replace(context, vector=torch.cat([context.vector, shared], dim=-1))

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        return AdaLNSingleBlock(
            self.width, self.num_heads if self.token_maps else 0, attention, mlp
        )

    def make_last_norm(self) -> nn.Module:
        return SingleNorm(self.width)


class AdaLNSingleBlock(Block):
    """Gated self-attention, attention to the conditions' tokens (if there are any), gated MLP."""

    def __init__(
        self, width: int, num_context_heads: int, attention: Attention, mlp: nn.Module
    ) -> None:
        super().__init__(attention, mlp)
        self.attend_context = None
        if num_context_heads:
            self.attend_context = AttendContext(width, num_context_heads, start_at_zero=True)
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation_table = Table(6, width)

    def forward(self, tokens: Tensor, context: Context, layout: Layout) -> Tensor:
        shared = context.vector.unflatten(-1, (7, -1))[:, :, 1:]
        # Section 2.3: S^(i) = g(S, E^(i)), the sum of what is shared and the block's table.
        signal = per_token((self.modulation_table() + shared).flatten(2), tokens).chunk(6, dim=-1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = signal
        mixed = self.attention(modulate(self.norm_attention(tokens), shift_a, scale_a), layout)
        tokens = torch.addcmul(tokens, gate_a, mixed)
        if self.attend_context is not None and context.tokens is not None:
            tokens = tokens + self.attend_context(tokens, context)  # without a norm, as PixArt
        found = self.mlp(modulate(self.norm_mlp(tokens), shift_m, scale_m))
        return torch.addcmul(tokens, gate_m, found)


class SingleNorm(nn.Module):
    """LayerNorm with scale and shift from a table plus the time embedding itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation_table = Table(2, width)

    def forward(self, tokens: Tensor, context: Context) -> Tensor:
        """Tokens (b, n, d) to the same shape."""
        time = context.vector.unflatten(-1, (7, -1))[:, :, :1]
        signal = per_token((self.modulation_table() + time).flatten(2), tokens)
        shift, scale = signal.chunk(2, dim=-1)
        return modulate(self.norm(tokens), shift, scale)
