"""What tells a cut from motion: colours that changed at once, and pixels that went nowhere."""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 4
"""Of each channel, in a histogram of colours: so few that small frames fill it."""

ALIKE = 0.1
"""Greatest root mean square difference over channels, of pixels in [0, 1] that are the same."""


def colour_change(frames: Tensor, others: Tensor) -> Tensor:
    """Share of pixels that would have to change colour: (n, 3, h, w) in [0, 1] twice -> (n).

    Half the sum of absolute differences between histograms of 4 x 4 x 4 colours, in [0, 1].

    Example:
        >>> black, half = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
        >>> half[..., 0] = 1.0  # half of the pixels
        >>> colour_change(black, half).item()
        0.5
    """
    return (_histogram(frames) - _histogram(others)).abs().sum(1) / 2


def found_again(frames: Tensor, warped: Tensor, seen: Tensor) -> Tensor:
    """Share of pixels that the flow finds in the next frame: (n): visible, and of one colour.

    Args:
        frames: (n, c, h, w) in [0, 1].
        warped: the next ones, warped to them.
        seen: (n, h, w), which pixels are visible in these.

    Example:
        >>> frames, warped = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
        >>> warped[..., 0] = 1.0
        >>> found_again(frames, warped, torch.ones(1, 2, 2, dtype=torch.bool)).item()
        0.5
    """
    same = (frames - warped).square().mean(1) <= ALIKE**2
    return (same & seen).float().mean((1, 2))


def _histogram(frames: Tensor) -> Tensor:
    """(n, 3, h, w) in [0, 1] to shares (n, 64)."""
    levels = (frames * LEVELS).long().clamp(0, LEVELS - 1)
    colours = (levels[:, 0] * LEVELS + levels[:, 1]) * LEVELS + levels[:, 2]
    flat = colours.flatten(1)
    counts = flat.new_zeros(len(flat), LEVELS**3, dtype=torch.float32)
    return counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=torch.float32)) / flat.shape[1]
