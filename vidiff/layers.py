"""Layers that know how they start, and what they are to an optimizer."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.Conv3d)


def zero(layer: Layer) -> Layer:
    """The layer, with weights and biases that start at zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Linear(nn.Linear):
    """Xavier's weights and a bias of zero, as the blocks of DiT (Peebles & Xie 2023)."""

    def reset_parameters(self) -> None:
        """Called by the constructor."""
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class ZeroLinear(nn.Linear):
    """Starts at zero."""

    def reset_parameters(self) -> None:
        """Called by the constructor."""
        zero(self)


class Modulation(ZeroLinear):
    """A vector to scales, shifts and gates; starts at zero."""


class Table(nn.Module):
    """A learned table of vectors: (rows, d), normal with variance 1 / d."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, width) / width**0.5)

    def forward(self) -> Tensor:
        """The table."""
        return self.weight
