"""Frames warped by optical flow, and which pixels a flow can be trusted at.

The warping error and its occlusions are those of Lai et al. 2018 (blind video temporal
consistency), after Ruder et al. 2016 and Sundaram et al. 2010. Flow (n, 2, h, w) is in pixels, to
the right and down.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def warp(frames: Tensor, flow: Tensor) -> Tensor:
    """At each pixel, what is where the flow leads from it: frames and result are (n, c, h, w).

    Bilinear; beyond the border, the border is held.

    Example:
        >>> frames = torch.tensor([[[[0.0, 1.0, 2.0]]]])
        >>> right = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 3)
        >>> warp(frames, right)
        tensor([[[[1., 2., 2.]]]])
    """
    height, width = frames.shape[2:]
    x, y = _targets(flow)
    # 0 and the last pixel's centre are -1 and 1 of grid_sample's coordinates.
    grid = torch.stack([x * 2 / max(1, width - 1) - 1, y * 2 / max(1, height - 1) - 1], dim=-1)
    return F.grid_sample(frames, grid, padding_mode="border", align_corners=True)


def visible(forward: Tensor, backward: Tensor) -> Tensor:
    """Which pixels of a frame can be found in the next one: (n, h, w), true or false.

    With f the flow from the frame, and b the flow back, warped by f, a pixel is occluded if

        |f + b|² > 0.01 (|f|² + |b|²) + 0.5        it does not lead back
        |∇f|² > 0.01 |f|² + 0.002                  it is on a boundary of motion

    or if it leaves the frame, which Lai et al. leave to the first rule.

    Example:
        >>> right = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 3)
        >>> visible(right, -right)  # the last one leaves the frame
        tensor([[[ True,  True, False]]])
    """
    warped = warp(backward, forward)
    size = forward.square().sum(1)
    returns = (forward + warped).square().sum(1)
    occluded = returns > 0.01 * (size + warped.square().sum(1)) + 0.5
    boundary = _gradient(forward) > 0.01 * size + 0.002
    height, width = forward.shape[2:]
    x, y = _targets(forward)
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return ~occluded & ~boundary & inside


def warping_error(frames: Tensor, warped: Tensor, seen: Tensor) -> Tensor:
    """Mean squared difference over what is visible: (n, c, h, w) twice, (n, h, w) -> (n).

    The squares are summed over visible pixels and divided by the number of those, in all channels
    (Lai et al. 2018); NaN where nothing is visible. Tools that divide by the pixels alone find as
    many times more as there are channels.

    Example:
        >>> frames, warped = torch.zeros(1, 3, 1, 2), torch.tensor([0.5, 1.0]).expand(1, 3, 1, 2)
        >>> warping_error(frames, warped, torch.tensor([[[True, False]]])).item()
        0.25
    """
    squares = (frames - warped).square().mean(1) * seen
    return squares.sum((1, 2)) / seen.sum((1, 2))  # 0 / 0 is NaN


def _targets(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel goes, x and y (n, h, w), in pixels from the first one's centre."""
    height, width = flow.shape[2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    return x, y


def _gradient(flow: Tensor) -> Tensor:
    """|∇flow|² (n, h, w), by differences with the next pixel; 0 across the last border."""
    across = F.pad(flow.diff(dim=3), (0, 1)).square()
    down = F.pad(flow.diff(dim=2), (0, 0, 0, 1)).square()
    return (across + down).sum(1)
