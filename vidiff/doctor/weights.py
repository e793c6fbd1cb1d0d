"""Weights of networks that vidiff uses and does not download."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, get_args

from vidiff.doctor.base import Check, Finding, find_weights
from vidiff.registry import register


@register("weights")
class Weights(Check):
    """Backbones of the perceptual distance, for losses and metrics."""

    place: ClassVar[int] = 5

    def look(self) -> list[Finding]:
        from vidiff.perceptual.backbones import BackboneName
        from vidiff.perceptual.weights import find_weights as find

        use = "model.perceptual and lpips"
        names = get_args(BackboneName)
        return [find_weights(f"LPIPS {name}", use, partial(find, name)) for name in names]
