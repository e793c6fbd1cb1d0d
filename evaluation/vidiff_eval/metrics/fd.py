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
    """

    def __init__(self, features: Features) -> None:
        super().__init__(features, f"fd_{features.name}")
