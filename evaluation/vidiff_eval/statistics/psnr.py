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
    """
    if videos.shape != references.shape:
        raise ValueError(f"videos {tuple(videos.shape)} and {tuple(references.shape)} differ")
    squared = (videos.double() - references.double()).square() / 4  # [-1, 1] is two wide
    return from_mse(squared.flatten(1).mean(1)).float()


def from_mse(mse: Tensor) -> Tensor:
    """PSNR in dB of mean squared errors on the [0, 1] scale."""
    return -10 * torch.log10(mse.clamp(min=10 ** (-MAX_PSNR / 10)))
