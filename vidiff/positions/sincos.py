"""Fixed sine and cosine positions (Vaswani et al. 2017), one share of the width for each axis."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.positions.base import Positions, coordinates, pairs_of_channels
from vidiff.registry import register
from vidiff.types import Grid


@register("sincos")
class SinCos(Positions):
    """Sines and cosines of each token's place along frames, height and width, added once.

    The width is shared among the axes by ``shares``, in pairs of channels; channels left over
    carry no position. The longest wavelength is ``2 pi max_period`` tokens.

    Args:
        width: width of a token.
        num_heads: not used.
        shares: relative shares of frames, height and width; a zero leaves an axis out.
        max_period: base of the geometric row of wavelengths.

    Raises:
        ValueError: if a share is negative or all are zero.
    """

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        shares: tuple[float, float, float] = (1.0, 1.0, 1.0),
        max_period: float = 10_000.0,
    ) -> None:
        super().__init__()
        self.width, self.max_period = width, max_period
        self.pairs = pairs_of_channels(width // 2, shares)

    def add(self, tokens: Tensor, grid: Grid) -> Tensor:
        return tokens + self.table(grid, tokens.device).to(tokens.dtype)

    def table(self, grid: Grid, device: torch.device) -> Tensor:
        """The vectors that are added: (n, d)."""
        parts = []
        for place, pairs in zip(coordinates(grid, device).unbind(-1), self.pairs, strict=True):
            exponent = torch.arange(pairs, device=device) / max(pairs, 1)
            angle = place[:, None] * self.max_period**-exponent
            parts += [angle.sin(), angle.cos()]
        table = torch.cat(parts, dim=-1)
        return torch.nn.functional.pad(table, (0, self.width - table.shape[-1]))
