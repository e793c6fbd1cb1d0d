"""Fréchet video distance (Unterthiner et al. 2018)."""

from __future__ import annotations

from vidiff.registry import register
from vidiff_eval.features.i3d import I3D
from vidiff_eval.metrics.frechet import FrechetDistance


@register("fvd")
class FVD(FrechetDistance):
    """Fréchet video distance: how far I3D features of generated clips are from those of real ones.

    The squared Fréchet distance between Gaussians fitted to the 400 logits of the I3D network that
    was trained on Kinetics-400. It grows as clips get fewer: compare scores of as many clips
    alone. Of other features, the distance is called ``fd_<name>``: see ``fd``.

    Args:
        weights: path of I3D's weights; by default they are looked for, see the features ``i3d``.

    Example:
        >>> import torch
        >>> FVD().distance(torch.zeros(2, 400), torch.ones(2, 400))  # of features
        {'fvd': 400.0}
    """

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(I3D(weights=weights), "fvd")
