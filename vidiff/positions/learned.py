"""Learned positions (ViT, Dosovitskiy et al. 2021), one table for each axis."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidiff.positions.base import Positions
from vidiff.registry import register
from vidiff.types import Grid


@register("learned")
class Learned(Positions):
    """The sum of three vectors, for a token's place along frames, height and width, added once.

    Args:
        max_grid: rows of the tables of frames, height and width, each at least 1.
        interpolate: stretch the tables linearly along axes with more tokens than rows; else a
            ``ValueError``.
    """

    def __init__(
        self,
        *,
        width: int,
        max_grid: tuple[int, int, int] = (16, 32, 32),
        interpolate: bool = False,
    ) -> None:
        super().__init__()
        if min(max_grid) < 1:
            raise ValueError(f"max_grid must be at least 1 along each axis, got {list(max_grid)}")
        self.max_grid, self.interpolate = max_grid, interpolate
        self.tables = nn.ParameterList(torch.randn(size, width) * 0.02 for size in max_grid)

    def add(self, tokens: Tensor, grid: Grid) -> Tensor:
        f, h, w = (self.rows(axis, size) for axis, size in enumerate(grid))
        table = f[:, None, None] + h[:, None] + w
        return tokens + table.flatten(0, 2).to(tokens.dtype)

    def rows(self, axis: int, size: int) -> Tensor:
        """The vectors of ``size`` places along frames, height or width: (size, d)."""
        table = self.tables[axis]
        if size <= len(table):
            return table[:size]
        if not self.interpolate:
            name = ("frames", "height", "width")[axis]
            raise ValueError(
                f"{size} tokens along {name} are more than the {len(table)} that max_grid "
                f"{list(self.max_grid)} has learned positions for: set max_grid to at least the "
                "grid when training, or interpolate: true to stretch them"
            )
        return nn.functional.interpolate(table.T[None], size, mode="linear", align_corners=True)[
            0
        ].T
