"""The MovingShapes scene that a clip shows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vidiff_eval.features.base import Features, Found
from vidiff_eval.oracle.ranges import Ranges

if TYPE_CHECKING:
    from torch import Tensor

POSE = ("radius", "speed", "x", "y", "background")


class Scene(Features):
    """The true scene that is nearest to each clip, see ``vidiff_eval.oracle``.

    Found are the numbers of its ``colour``, ``shape`` and ``motion``, its pose, and in dB the
    clip's ``psnr`` against it and ``blank_psnr`` against the best plain grey: each (b,).

    Args:
        ranges: that scenes are drawn from.
    """

    name = "scene"
    min_frames = 2

    def __init__(self, ranges: Ranges) -> None:
        self.ranges = ranges

    @property
    def settings(self) -> dict[str, Any]:
        ranges = {name: list(bounds) for name, bounds in asdict(self.ranges).items()}
        return {"oracle": "moving_shapes", **ranges}

    def extract(self, clips: Tensor) -> Found:
        from vidiff_eval.oracle.search import find_scenes

        matches = find_scenes(clips, self.ranges)
        scene = {name: getattr(matches.scenes, name) for name in ("colour", "shape", "motion")}
        pose = {name: getattr(matches.scenes, name) for name in POSE}
        return {**scene, **pose, "psnr": matches.psnr, "blank_psnr": matches.blank_psnr}
