"""Peak signal-to-noise ratio."""

from __future__ import annotations

from torch import Tensor

from vidiff.reconstruction.psnr import from_mse


def psnr(videos: Tensor, references: Tensor) -> Tensor:
    """PSNR of each video over all of its pixels, in dB: (b, c, f, h, w) twice -> (b,).

    Both in [-1, 1]; the peak is 1 after scaling to [0, 1]. At most 100 dB.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> import torch
        >>> black = torch.full((1, 3, 2, 4, 4), -1.0)
        >>> psnr(torch.cat([0.8 + black, black]), torch.cat([black, black])).round().tolist()
        [8.0, 100.0]
    """
    if videos.shape != references.shape:
        raise ValueError(f"videos {tuple(videos.shape)} and {tuple(references.shape)} differ")
    squared = (videos.double() - references.double()).square() / 4  # [-1, 1] is two wide
    return from_mse(squared.flatten(1).mean(1)).float()
