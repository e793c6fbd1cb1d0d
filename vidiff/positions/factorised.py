"""Sine and cosine positions of space and of time apart (Latte, Ma et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.checks import at_least
from vidiff.positions.base import Positions
from vidiff.positions.sincos import SinCos
from vidiff.registry import register
from vidiff.types import Grid


@register("factorised")
class Factorised(Positions):
    """A spatial table over the whole width, added once, and a temporal one before a later block.

    Space has the channels of DiT's table: half of them for a token's place along the width, half
    along the height.

    Args:
        temporal_block: number of the first block, from 0 on, that knows frames apart: 1 for
            ``alternating`` attention, half of the depth for ``late``, 0 for layouts that mix
            frames from the start.
        max_period: base of the geometric row of wavelengths.
    """

    def __init__(
        self, *, width: int, temporal_block: int = 1, max_period: float = 10_000.0
    ) -> None:
        super().__init__()
        at_least(0, temporal_block=temporal_block)
        self.temporal_block = temporal_block
        self.space = SinCos(width=width, shares=(0, 1, 1), max_period=max_period, order="fwh")
        self.time = SinCos(width=width, shares=(1, 0, 0), max_period=max_period)

    def check_depth(self, num_blocks: int) -> None:
        if self.temporal_block >= num_blocks:
            raise ValueError(
                f"temporal_block {self.temporal_block} is beyond the last of {num_blocks} blocks, "
                "so frames would have no positions: lower it or use more blocks"
            )

    def add(self, tokens: Tensor, grid: Grid) -> Tensor:
        return self.space.add(tokens, grid)

    def add_before_block(self, block: int, tokens: Tensor, grid: Grid) -> Tensor:
        if block != self.temporal_block:
            return tokens
        f, h, w = grid
        table = self.temporal_table(f, tokens.device).repeat_interleave(h * w, dim=0)
        num_context = tokens.shape[1] - f * h * w
        return tokens + torch.nn.functional.pad(table, (0, 0, num_context, 0)).to(tokens.dtype)

    def temporal_table(self, num_frames: int, device: torch.device) -> Tensor:
        """The vectors that are added to each frame's tokens: (f, d)."""
        return self.time.table((num_frames, 1, 1), device)
