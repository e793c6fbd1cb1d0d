"""Structural similarity of pairs (Wang et al. 2004)."""

from __future__ import annotations

from vidiff.registry import register
from vidiff_eval.metrics.reconstruction import ScoredPairs


@register("ssim")
class SSIM(ScoredPairs):
    """Structural similarity of each clip and the real one of its name, mean over frames.

    As torchmetrics computes it on the scale of [0, 1]: Gaussian windows of 11 x 11 pixels with
    deviation 1.5, by channel.

    Example:
        >>> import torch
        >>> clip = torch.linspace(-1, 1, 16).expand(1, 3, 2, 16, 16)
        >>> round(SSIM()(clip, clip)["ssim"], 4)
        1.0
    """

    scores = ("ssim",)
    limits = ((-1.0, 1.0),)
    higher_is_better = True
