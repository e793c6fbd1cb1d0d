"""Peak signal-to-noise ratio."""

from __future__ import annotations

from torch import Tensor

from vidiff.reconstruction.base import Reconstruction, VideoScore, widest
from vidiff.registry import register

MAX_PSNR = 100.0  # in dB: what two equal videos get, so that means stay finite


@register("psnr")
class PSNR(VideoScore):
    """Peak signal-to-noise ratio in dB, of each video over all of its pixels, at most 100.

    The peak is 1 on a scale of [0, 1]. The mean is taken over videos, of decibels.
    """

    higher_is_better = True
    score_name = "psnr"

    def score(self, videos: Reconstruction) -> Tensor:
        difference = (videos.pixels - videos.reference).to(widest(videos.pixels.device))
        mse = difference.square().flatten(1).mean(1) / 4  # [-1, 1] is two wide
        return -10 * mse.clamp(min=10 ** (-MAX_PSNR / 10)).log10()
