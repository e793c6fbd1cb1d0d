"""Fréchet video distance of reconstructions from their originals."""

from __future__ import annotations

from vidiff.registry import register
from vidiff_eval.features.i3d import I3D
from vidiff_eval.metrics.frechet import FrechetDistance


@register("rfvd")
class RFVD(FrechetDistance):
    """Fréchet video distance of reconstructions from their originals, file by file of one name.

    It is the number of ``fvd``; what differs is that both sides must hold the same videos. So it
    has no noise floor: nothing but the reconstruction tells the sides apart.

    Args:
        weights: path of I3D's weights; by default they are looked for, see the features ``i3d``.

    Example:
        >>> import torch
        >>> RFVD().distance(torch.zeros(2, 400), torch.ones(2, 400))
        {'rfvd': 400.0}
    """

    paired = True
    has_floor = False

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(I3D(weights=weights), "rfvd")
