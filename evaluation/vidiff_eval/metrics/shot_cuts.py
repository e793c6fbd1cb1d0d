"""Cuts within videos."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.features.motion import MotionFeatures
from vidiff_eval.metrics.base import ClipMetric, Row
from vidiff_eval.networks.flow import DIS, MakeFlow

if TYPE_CHECKING:
    from vidiff_eval.features.base import Found


@register("shot_cuts")
class ShotCuts(ClipMetric):
    """Number of cuts in a clip: pairs of frames whose content was replaced at once.

    A pair is a cut if optical flow finds almost none of its pixels again (``max_found_again``)
    *and* its colours changed (``min_colour_change``): noise has the former alone, light and fast
    motion mostly the latter. A dissolve is no cut, nor is one between shots of the same colours,
    and a flash that hides everything counts as one. Of twelve real videos at 128 x 128 pixels,
    pairs of one shot had 0.10 or more of their pixels found again, at a third of the frame rate,
    and pairs across videos 0.02 or less, with colour changes of 0.25 or more.

    Args:
        max_found_again: share of pixels that are visible in the next frame and have their colour.
        min_colour_change: share of pixels that would have to change colour for equal histograms.
        flow: which optical flow: ``dis`` needs OpenCV and no weights, ``raft`` weights.

    Raises:
        ValueError: if a threshold is no share.

    Example:
        >>> import torch
        >>> again, change = torch.tensor([[0.9, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> ShotCuts().judge({"found_again": again, "colour_change": change}, [""])
        [{'shot_cuts': 1, 'cut_after_frames': [1]}]
    """

    scores = ("shot_cuts",)
    units = ("cuts",)
    limits = ((0.0, inf),)
    higher_is_better = None

    def __init__(
        self,
        *,
        max_found_again: float = 0.05,
        min_colour_change: float = 0.2,
        flow: MakeFlow = DIS,
    ) -> None:
        limits = {"max_found_again": max_found_again, "min_colour_change": min_colour_change}
        for name, value in limits.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is a share of pixels, between 0 and 1, got {value}")
        self.max_found_again, self.min_colour_change = max_found_again, min_colour_change
        self.features: MotionFeatures = MotionFeatures(flow=flow)

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "max_found_again": self.max_found_again,
            "min_colour_change": self.min_colour_change,
            "features": self.features.settings,
        }

    def judge(self, found: Found, prompts: Sequence[str]) -> list[Row]:
        lost = found["found_again"] <= self.max_found_again
        cuts = lost & (found["colour_change"] >= self.min_colour_change)
        return [
            {"shot_cuts": int(clip.sum()), "cut_after_frames": clip.nonzero().flatten().tolist()}
            for clip in cuts
        ]
