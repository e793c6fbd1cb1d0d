"""Peak signal-to-noise ratio of pairs."""

from __future__ import annotations

from vidiff.registry import register
from vidiff_eval.metrics.reconstruction import ScoredPairs


@register("psnr")
class PSNR(ScoredPairs):
    """Peak signal-to-noise ratio in dB of each clip beside the real one of its name.

    Over all of a clip's pixels, at most 100 dB; the mean is taken over clips, of decibels.

    Example:
        >>> import torch
        >>> grey = torch.zeros(1, 3, 4, 16, 16)
        >>> round(PSNR()(grey, grey + 0.2)["psnr"], 4)  # an error of 0.1 on the scale of [0, 1]
        20.0
    """

    scores = ("psnr",)
    units = ("dB",)
    limits = ((0.0, 100.0),)
    higher_is_better = True
