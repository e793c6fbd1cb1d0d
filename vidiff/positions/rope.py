"""Rotary positions over three axes (RoFormer, Su et al. 2021), each with a share of a head."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.positions.base import Positions, Rotary, coordinates, pairs_of_channels
from vidiff.registry import register
from vidiff.types import Grid


@register("rope")
class Rope(Positions):
    """Turns queries and keys by angles that grow along frames, height and width.

    A head's channels are shared among the axes by ``shares``, in pairs; pairs left over are not
    turned. Attention then sees only the distance between two tokens, so grids of any size work.

    Args:
        width: width of a token.
        num_heads: heads that share the width.
        shares: relative shares of frames, height and width; a zero leaves an axis out.
        max_period: base of the geometric row of wavelengths.

    Raises:
        ValueError: if a share is negative, all are zero, or a head's width is odd.
    """

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        shares: tuple[float, float, float] = (1.0, 1.0, 1.0),
        max_period: float = 100.0,
    ) -> None:
        super().__init__()
        if width % (2 * num_heads):
            raise ValueError(f"rope needs heads of even width, got {width} / {num_heads} heads")
        self.total = width // num_heads // 2
        self.pairs = pairs_of_channels(self.total, shares)
        self.max_period = max_period

    def rotary(self, grid: Grid, device: torch.device) -> Rotary:
        angles: list[Tensor] = []
        for place, pairs in zip(coordinates(grid, device).unbind(-1), self.pairs, strict=True):
            exponent = torch.arange(pairs, device=device) / max(pairs, 1)
            angles.append(place[:, None] * self.max_period**-exponent)
        angle = torch.cat(angles, dim=-1)
        angle = torch.nn.functional.pad(angle, (0, self.total - angle.shape[-1]))
        return angle.cos(), angle.sin()
