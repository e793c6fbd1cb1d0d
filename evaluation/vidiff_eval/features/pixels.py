"""How much pixels change from frame to frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.features.base import Features, Found

if TYPE_CHECKING:
    from torch import Tensor

GREY_LEVELS = 127.5
"""Of 255, in 1 on the scale of [-1, 1]."""


@register("pixels")
class Pixels(Features):
    """How much pixels change from each frame to the next, without any network.

    ``difference`` is the mean absolute difference over pixels and channels, in grey levels of 255:
    (b, f - 1).
    """

    name = "pixels"
    min_frames = 2

    @property
    def settings(self) -> dict[str, Any]:
        return {"pixels": "differences of adjacent frames"}

    def extract(self, clips: Tensor) -> Found:
        self.check_frames(clips)
        difference = clips.to(self.device).float().diff(dim=2).abs().mean(dim=(1, 3, 4))
        return {"difference": (difference * GREY_LEVELS).cpu()}
