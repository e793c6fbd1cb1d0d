"""Embedding of diffusion time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class TimeEmbedding(nn.Module):
    """Sines and as many cosines of time, then a two-layer MLP (DDPM, Ho et al. 2020; DiT's sizes).

    ``max_period`` is the longest period over 2 pi, in the units of t.
    """

    def __init__(
        self, width: int, num_frequencies: int = 128, max_period: float = 10_000.0
    ) -> None:
        super().__init__()
        self.num_frequencies, self.max_period = num_frequencies, max_period
        self.first, self.last = nn.Linear(2 * num_frequencies, width), nn.Linear(width, width)
        for layer in (self.first, self.last):
            nn.init.normal_(layer.weight, std=0.02)  # as in DiT

    def forward(self, t: Tensor) -> Tensor:
        """Times of any shape (...) to (..., d)."""
        places = torch.arange(self.num_frequencies, device=t.device, dtype=torch.float32)
        exponent = places / self.num_frequencies
        angle = t.float().unsqueeze(-1) * torch.exp(-math.log(self.max_period) * exponent)
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1)
        return self.last(nn.functional.silu(self.first(waves.to(self.first.weight.dtype))))
