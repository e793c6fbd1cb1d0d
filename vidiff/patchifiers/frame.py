"""Frame-wise patches (ViT, Dosovitskiy et al. 2021; uniform frame sampling of ViViT and Latte)."""

from __future__ import annotations

from typing import Any

from vidiff.patchifiers.tubelet import Tubelet
from vidiff.registry import register


@register("frame")
class Frame(Tubelet):
    """Square patches of single frames: a tubelet that is one frame long.

    Args:
        patch_size: height and width of a patch.
    """

    def __init__(self, *, patch_size: int = 2, **given: Any) -> None:
        super().__init__(patch_size=(1, patch_size, patch_size), **given)
