"""Structural similarity (Wang et al. 2004)."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from vidiff.reconstruction.base import Reconstruction, VideoScore
from vidiff.registry import register

MIN_SIZE = 6  # height and width in pixels from which a frame can be reflected by half a window


@register("ssim")
class SSIM(VideoScore):
    """Structural similarity of frames, averaged over each video.

    As torchmetrics computes it: on the scale of [0, 1], by channel, with Gaussian windows of 11 x
    11 pixels and deviation 1.5, up to the borders, where frames of at least 6 x 6 are reflected.
    """

    higher_is_better = True
    score_name = "ssim"

    def score(self, videos: Reconstruction) -> Tensor:
        height, width = videos.pixels.shape[-2:]
        if min(height, width) < MIN_SIZE:
            raise ValueError(
                f"ssim needs frames of at least {MIN_SIZE} x {MIN_SIZE} pixels, got {height} x "
                f"{width}: leave it out of model.metrics"
            )
        # One video at a time: it takes several times the memory of what it compares.
        pairs = zip(videos.pixels, videos.reference, strict=True)
        return torch.stack([ssim(a, b).mean() for a, b in pairs])


def ssim(pixels: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity of each frame: (3, f, h, w) in [-1, 1] twice -> (f,)."""
    from torchmetrics.functional.image import structural_similarity_index_measure as measure

    a, b = ((rearrange(video, "c f h w -> f c h w") + 1) / 2 for video in (pixels, reference))
    similarity = measure(a, b, data_range=1.0, reduction="none")
    assert isinstance(similarity, Tensor)
    return similarity
