"""Given a mask, the best colour and grey level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidiff.data.shapes import COLOURS
from vidiff_eval.oracle.ranges import Ranges


@dataclass
class Paint:
    """The best paint of any number of masks.

    Attributes:
        colour: index into ``COLOURS``.
        background: grey level in [0, 1].
        error: sum of squared errors, less the sum of the squared video.
    """

    colour: Tensor
    background: Tensor
    error: Tensor


def fit_paint(
    product: Tensor,
    total: Tensor,
    area: Tensor,
    squared: Tensor,
    ranges: Ranges,
    *,
    num_pixels: int,
) -> Paint:
    """Least squares over colours and backgrounds.

    With a mask M, a video is fitted by colour M + background (1 - M). That is quadratic in the
    background, so its best value is where the derivative is zero, or an end of its range.

    Args:
        product: (3, …), sum over pixels of the video's channel times M.
        total: (…), sum of the video over pixels and channels.
        area: (…), sum of M.
        squared: (…), sum of M squared.
        ranges: holds the range of the background.
        num_pixels: of one channel.
    """
    outside = num_pixels - 2 * area + squared  # sum of (1 - M) squared
    uncovered = total - product.sum(0)
    overlap = area - squared  # sum of M (1 - M)
    best: Paint | None = None
    for index, colour in enumerate(COLOURS.values()):
        linear = uncovered - sum(colour) * overlap
        background = (linear / (3 * outside)).clamp(*ranges.background)
        error = background * (3 * outside * background - 2 * linear)
        error = error + sum(channel**2 for channel in colour) * squared
        error = error - 2 * sum(a * b for a, b in zip(colour, product, strict=True))
        if best is None:
            best = Paint(torch.zeros_like(error, dtype=torch.long), background, error)
            continue
        better = error < best.error
        best.colour[better] = index
        best.background = torch.where(better, background, best.background)
        best.error = torch.where(better, error, best.error)
    assert best is not None
    return best


def paint_masks(videos: Tensor, masks: Tensor, ranges: Ranges) -> Paint:
    """The paint of masks (n, f, h, w) for videos (n, 3, f, h, w) in [0, 1]."""
    return fit_paint(
        torch.einsum("ncfhw,nfhw->cn", videos, masks),
        videos.sum(dim=(1, 2, 3, 4)),
        masks.sum(dim=(1, 2, 3)),
        masks.square().sum(dim=(1, 2, 3)),
        ranges,
        num_pixels=masks[0].numel(),
    )
