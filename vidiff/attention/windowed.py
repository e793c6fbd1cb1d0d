"""Attention within shifted space-time windows (Video Swin, Liu et al. 2022, section 3.2)."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from vidiff.attention.functional import Groups, attend_in_groups
from vidiff.attention.multi_head import MultiHead
from vidiff.positions.base import Layout
from vidiff.registry import register
from vidiff.types import Grid


@register("windowed")
class Windowed(MultiHead):
    """Tokens attend within boxes of ``window`` tokens; odd blocks shift the boxes by half of one.

    The cost grows linearly with the number of tokens. Along an axis that one window covers there is
    no shift. A grid that does not divide is padded with tokens that no other token sees.

    Args:
        window: tokens of a window along frames, height and width, each at least 1.
    """

    def __init__(self, *, window: tuple[int, int, int] = (4, 8, 8), **given: Any) -> None:
        super().__init__(**given)
        if min(window) < 1:
            raise ValueError(f"window must be at least 1 token along each axis, got {list(window)}")
        self.window, self.shifted = window, self.block % 2 == 1

    def mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None) -> Tensor:
        windows = windows_of(layout.grid, self.window, self.shifted, q.device)
        return attend_in_groups(q, k, v, windows, layout, mask)


def windows_of(grid: Grid, window: Grid, shifted: bool, device: torch.device) -> Groups:
    """The windows of a grid of tokens.

    Shifted windows that stick out at one end share a box with those that stick out at the other,
    so that there are no more boxes than without a shift; a mask keeps the two apart.
    """
    axes = list(zip(grid, window, strict=True))
    box = [min(size, extent) for size, extent in axes]
    shift = [extent // 2 if shifted and size > extent else 0 for size, extent in axes]
    padded = [-(-size // extent) * extent for size, extent in zip(grid, box, strict=True)]
    extra = [to - size for size, to in zip(grid, padded, strict=True)]
    wf, wh, ww = box
    boxes = {"f": padded[0] // wf, "h": padded[1] // wh, "w": padded[2] // ww}

    def part(x: Tensor) -> Tensor:
        x = x.unflatten(2, grid)
        if any(extra):
            x = torch.nn.functional.pad(x, (0, 0, 0, extra[2], 0, extra[1], 0, extra[0]))
        if any(shift):
            x = x.roll([-s for s in shift], dims=(2, 3, 4))
        return rearrange(
            x, "b heads (f wf) (h wh) (w ww) d -> (b f h w) heads (wf wh ww) d", wf=wf, wh=wh, ww=ww
        )

    def join(x: Tensor) -> Tensor:
        x = rearrange(
            x, "(b f h w) heads (wf wh ww) d -> b heads (f wf) (h wh) (w ww) d",
            wf=wf, wh=wh, ww=ww, **boxes,
        )  # fmt: skip
        if any(shift):
            x = x.roll(shift, dims=(2, 3, 4))
        return x[:, :, : grid[0], : grid[1], : grid[2]].flatten(2, 4)

    if not any(extra) and not any(shift):
        return Groups(part, join)
    # Each token's window by number, from 1 on, padding's 0: only tokens of one window mix.
    number = torch.zeros((), dtype=torch.long, device=device)
    for size, extent, by in zip(grid, box, shift, strict=True):
        along = (torch.arange(size, device=device) - by).div(extent, rounding_mode="floor") + 1
        number = number[..., None] * (size + 2) + along
    numbers = part(number.flatten()[None, None, :, None] + 1)[:, 0, :, 0]
    return Groups(part, join, numbers[:, :, None] == numbers[:, None, :])
