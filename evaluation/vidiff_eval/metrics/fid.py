"""Fréchet Inception distance of single frames (Heusel et al. 2017)."""

from __future__ import annotations

from vidiff.registry import register
from vidiff_eval.features.inception import Inception
from vidiff_eval.metrics.frechet import FrechetDistance


@register("fid")
class FID(FrechetDistance):
    """Fréchet Inception distance of all frames: how far single frames are from real ones, unmoved.

    The squared Fréchet distance between Gaussians fitted to Inception's 2,048 features of every
    frame, each resized as clean-fid does. Frames of one clip are much alike, so intervals resample
    whole clips.

    Args:
        weights: path of Inception's weights, ``inception-2015-12-05.pt``; by default they are
            looked for, see the features ``inception``.

    Example:
        >>> import torch
        >>> FID().distance(torch.zeros(2, 8, 2048), torch.ones(2, 8, 2048))
        {'fid': 2048.0}
    """

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(Inception(weights=weights), "fid")
