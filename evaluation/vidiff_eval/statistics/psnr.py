"""Peak signal-to-noise ratio."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_PSNR = 100.0
"""In dB: what two equal videos get, so that means and JSON stay finite."""


def psnr(videos: Tensor, references: Tensor) -> Tensor:
    """PSNR of each video over all of its pixels, in dB: (b, c, f, h, w) twice -> (b,).

    Both in [-1, 1]; the peak is 1 after scaling to [0, 1]. At most ``MAX_PSNR``.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> black = torch.full((1, 3, 2, 4, 4), -1.0)
        >>> psnr(torch.cat([0.8 + black, black]), torch.cat([black, black])).round().tolist()
        [8.0, 100.0]
    """
    if videos.shape != references.shape:
        raise ValueError(f"videos {tuple(videos.shape)} and {tuple(references.shape)} differ")
    squared = (videos.double() - references.double()).square() / 4  # [-1, 1] is two wide
    return from_mse(squared.flatten(1).mean(1)).float()


def from_mse(mse: Tensor) -> Tensor:
    """PSNR in dB of mean squared errors on the [0, 1] scale.

    Example:
        >>> from_mse(torch.tensor([1.0, 0.01])).tolist()
        [-0.0, 20.0]
    """
    return -10 * torch.log10(mse.clamp(min=10 ** (-MAX_PSNR / 10)))
