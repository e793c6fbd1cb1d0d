"""Fréchet distance of any features."""

from __future__ import annotations

from vidiff.registry import register
from vidiff_eval.features.base import Features
from vidiff_eval.metrics.frechet import FrechetDistance


@register("fd")
class FD(FrechetDistance):
    """Fréchet distance of any features, reported as fd_<their name>.

    Args:
        features: what is taken from clips, (n, d) or (n, f, d).

    Example:
        >>> import torch
        >>> from vidiff_eval.features import Timm
        >>> FD(Timm(model="test_vit")).distance(torch.zeros(2, 8, 64), torch.ones(2, 8, 64))
        {'fd_timm_test_vit': 64.0}
    """

    def __init__(self, features: Features) -> None:
        super().__init__(features, f"fd_{features.name}")
