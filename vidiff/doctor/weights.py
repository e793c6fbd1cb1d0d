"""Weights of networks that vidiff uses and does not download."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, get_args

from vidiff.doctor.base import Check, Finding, judged
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


def find_weights(name: str, use: str, find: Callable[[], Path]) -> Finding:
    """Whether a network's weights are on this machine.

    ``find`` returns their path, or raises a ``ValueError`` that says where it looked and what to
    do; ``use`` is what needs them.
    """
    path: str | None
    try:
        path, step = str(find()), ""
    except ValueError as error:
        path, step = None, str(error)
    return judged(name, f"{path or 'not here'}; for {use}", step, {"path": path, "use": use})
