"""Rotary positions over three axes (RoFormer, Su et al. 2021), each with a share of a head."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vidiff.checks import at_least
from vidiff.positions.base import Positions, Rotary, coordinates, pairs_of_channels
from vidiff.registry import register
from vidiff.types import Grid


@register("rope")
class Rope(Positions):
    """Rotates queries and keys by angles that grow along frames, height and width.

    A head's channels are shared among the axes by ``shares``, in pairs; pairs left over are not
    rotated. Attention then sees only the distance between two tokens, so grids of any size work.

    On an axis longer than in training, ``extrapolation`` avoids distances that were never seen:
    ``interpolate`` moves tokens closer together (Chen et al. 2023), ``ntk`` lengthens wavelengths,
    the shortest not at all and the longest by as much (YaRN, Peng et al. 2024, definition 1).

    Args:
        shares: relative shares of frames, height and width; a zero leaves an axis out.
        max_period: base of the geometric row of wavelengths.
        trained_grid: tokens along frames, height and width that the model was trained with.
        extrapolation: what to do along an axis with more tokens than ``trained_grid``, which it
            needs.
    """

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        shares: tuple[float, float, float] = (1.0, 1.0, 1.0),
        max_period: float = 100.0,
        trained_grid: tuple[int, int, int] | None = None,
        extrapolation: Literal["none", "interpolate", "ntk"] = "none",
    ) -> None:
        super().__init__()
        at_least(1, width=width, num_heads=num_heads)
        if width % (2 * num_heads):
            raise ValueError(f"rope needs heads of even width, got {width} / {num_heads} heads")
        if extrapolation != "none" and (trained_grid is None or min(trained_grid) < 1):
            raise ValueError(
                f"extrapolation {extrapolation!r} needs the grid that the model was trained with: "
                "set trained_grid to its tokens along frames, height and width, at least 1 each; "
                f"got {trained_grid}"
            )
        self.total = width // num_heads // 2
        self.pairs = pairs_of_channels(self.total, shares)
        self.max_period, self.extrapolation = max_period, extrapolation
        self.trained_grid = trained_grid

    def rotary(self, grid: Grid, device: torch.device) -> Rotary:
        places = coordinates(grid, device).unbind(-1)
        angle = torch.cat(
            [self.angles(axis, grid[axis], places[axis]) for axis in range(3)], dim=-1
        )
        angle = torch.nn.functional.pad(angle, (0, self.total - angle.shape[-1]))
        return angle.cos(), angle.sin()

    def angles(self, axis: int, size: int, places: Tensor) -> Tensor:
        """Angles at places (n,) along one axis of ``size`` tokens: (n, pairs)."""
        pairs, base = self.pairs[axis], self.max_period
        longer = max(1.0, size / self.trained_grid[axis]) if self.trained_grid else 1.0
        if self.extrapolation == "interpolate":
            places = places / longer  # Chen et al. 2023: f'(x, m) = f(x, m L / L')
        elif self.extrapolation == "ntk" and pairs > 1:
            # Peng et al. 2024, definition 1: b' = b s^(D / (D - 2)), of D = 2 pairs channels.
            base = base * longer ** (pairs / (pairs - 1))
        exponent = torch.arange(pairs, device=places.device) / max(pairs, 1)
        return places[:, None] * base**-exponent
