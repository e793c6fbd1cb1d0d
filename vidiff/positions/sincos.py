"""Fixed sine and cosine positions (Vaswani et al. 2017), one share of the width for each axis."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vidiff.positions.base import Positions, coordinates, pairs_of_channels
from vidiff.registry import register
from vidiff.types import Grid


@register("sincos")
class SinCos(Positions):
    """Sines and cosines of each token's place along frames, height and width, added once.

    The width is shared among the axes by ``shares``, in pairs of channels; channels left over
    carry no position. The longest wavelength is ``2 pi max_period`` tokens. DiT's table (Peebles &
    Xie 2023) has ``shares`` of 0, 1, 1 in the order ``fwh``.

    Args:
        shares: relative shares of frames, height and width; 0, not for all, leaves an axis out.
        max_period: base of the geometric row of wavelengths.
        order: which axis gets the first channels, which the next, and which the last.
    """

    def __init__(
        self,
        *,
        width: int,
        shares: tuple[float, float, float] = (1.0, 1.0, 1.0),
        max_period: float = 10_000.0,
        order: Literal["fhw", "fwh", "hfw", "hwf", "wfh", "whf"] = "fhw",
    ) -> None:
        super().__init__()
        self.width, self.max_period = width, max_period
        self.order = ["fhw".index(axis) for axis in order]
        self.pairs = pairs_of_channels(width // 2, shares)

    def add(self, tokens: Tensor, grid: Grid) -> Tensor:
        return tokens + self.table(grid, tokens.device).to(tokens.dtype)

    def table(self, grid: Grid, device: torch.device) -> Tensor:
        """The vectors that are added: (n, d)."""
        places = coordinates(grid, device).unbind(-1)
        table = torch.cat(
            [waves(places[axis], self.pairs[axis], self.max_period) for axis in self.order], dim=-1
        )
        return torch.nn.functional.pad(table, (0, self.width - table.shape[-1]))


def waves(places: Tensor, num_pairs: int, max_period: float) -> Tensor:
    """Sines, then as many cosines, of places (n,) along one axis: (n, 2 num_pairs)."""
    exponent = torch.arange(num_pairs, device=places.device) / max(num_pairs, 1)
    angle = places[:, None] * max_period**-exponent
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
