"""Modulation of tokens by time and vectors (FiLM, Perez et al. 2018; DiT, Peebles & Xie 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidiff.conditioning.base import Conditioning, Context
from vidiff.layers import Modulation


class Modulated(Conditioning):
    """Time and the conditions' vectors are added up to one vector, which modulates every layer.

    A prompt enters as one vector, so word order reaches the video only through its encoder.
    """

    def make_last_norm(self) -> nn.Module:
        return AdaptiveNorm(self.width)


class AdaptiveNorm(nn.Module):
    """LayerNorm with scale and shift from the context's vector, starting at one and zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = Modulation(width, 2 * width)

    def forward(self, tokens: Tensor, context: Context) -> Tensor:
        """Tokens (b, n, d) to the same shape."""
        signal = per_token(self.modulation(nn.functional.silu(context.vector)), tokens)
        shift, scale = signal.chunk(2, dim=-1)
        return modulate(self.norm(tokens), shift, scale)


def modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """``tokens * (1 + scale) + shift``; tokens (b, n, d), shift and scale (b, 1 or n, d)."""
    return torch.addcmul(shift, tokens, 1 + scale)


def per_token(signal: Tensor, tokens: Tensor) -> Tensor:
    """What modulates tokens (b, n, d): (b, 1, c) as it is, (b, f, c) frame by frame, (b, n, c)."""
    frames = signal.shape[1]
    return signal if frames == 1 else signal.repeat_interleave(tokens.shape[1] // frames, dim=1)
