"""How much videos move: what every score of consistency has to be read beside."""

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

DYNAMIC = 100 * 6 / 256
"""Percent of the short side that the fastest pixels of a dynamic pair move by (VBench)."""

PAIRS = 4 / 16
"""Dynamic pairs that a dynamic video has, in frames."""


@register("motion")
class Motion(ClipMetric):
    """How far pixels move from frame to frame, in percent of the frame's short side.

    ``motion`` is the mean length of the optical flow over pixels and pairs of frames. It is neither
    good nor bad by itself: compare it with that of real videos. ``dynamic_degree`` is the share of
    clips that move as VBench asks for (Huang et al. 2024): in at least a quarter as many pairs as
    there are frames, rounded, the fastest 5 % of pixels move by more than 6/256 of the short side
    on average. VBench reads 8 frames per second, and finds flow by RAFT: set ``--protocol.fps 8``
    for its rule. Where it rounds to no pair at all, and calls every clip of two frames dynamic, one
    pair is needed here.

    Args:
        flow: which optical flow: ``dis`` needs OpenCV and no weights, ``raft`` weights.

    Example:
        >>> import torch
        >>> flow = {"mean_flow": torch.tensor([[1.0, 3.0]]), "top_flow": torch.tensor([[0.0, 9.0]])}
        >>> Motion().judge(flow, [""])
        [{'motion': 2.0, 'dynamic_degree': True, 'dynamic_pairs': 1}]
    """

    scores = ("motion", "dynamic_degree")
    units = ("% of the short side", "share")
    limits = ((0.0, inf), (0.0, 1.0))
    higher_is_better = None

    def __init__(self, *, flow: MakeFlow = DIS) -> None:
        self.features: MotionFeatures = MotionFeatures(flow=flow)

    @property
    def settings(self) -> dict[str, Any]:
        dynamic = {"top_flow": DYNAMIC, "pairs_per_frame": PAIRS}
        return {"dynamic": dynamic, "features": self.features.settings}

    def judge(self, found: Found, prompts: Sequence[str]) -> list[Row]:
        num_frames = found["top_flow"].shape[1] + 1
        needed = max(1, round(PAIRS * num_frames))
        num_dynamic = (found["top_flow"] > DYNAMIC).sum(1).tolist()
        return [
            {"motion": mean, "dynamic_degree": pairs >= needed, "dynamic_pairs": pairs}
            for mean, pairs in zip(
                found["mean_flow"].double().mean(1).tolist(), num_dynamic, strict=True
            )
        ]
