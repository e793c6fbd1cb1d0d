"""How little videos keep what they show, along its motion (Lai et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.features.motion import MotionFeatures
from vidiff_eval.metrics.base import ClipMetric, Row
from vidiff_eval.networks.flow import DIS, MakeFlow

if TYPE_CHECKING:
    from vidiff_eval.features.base import Found


@register("warping_error")
class WarpingError(ClipMetric):
    """Mean squared difference of frames and the next ones, warped back by optical flow.

    Pixels are in [0, 1]; those that are occluded do not count, see ``statistics.warping``. The mean
    is taken over visible pixels and channels of a pair of frames, then over pairs. EvalCrafter
    divides the sum over three channels by the number of pixels, so that its scores are about three
    times these. Scores depend on the flow, on the size of frames and on the frame rate: compare
    those of one protocol. A frozen video has 0: read it beside the amount of motion.

    ``visible_share`` is the share of pixels that count. Pairs without any, as across a cut, do not
    count, and where all are so a clip has no warping error.

    Args:
        flow: which optical flow: ``dis`` needs OpenCV and no weights, ``raft`` weights.

    Example:
        >>> import torch
        >>> errors, visible = torch.tensor([[0.5, torch.nan]]), torch.tensor([[1.0, 0.0]])
        >>> WarpingError().judge({"warping_error": errors, "visible": visible}, [""])
        [{'warping_error': 0.5, 'visible_share': 0.5}]
    """

    scores = ("warping_error", "visible_share")
    units = ("", "share")
    limits = ((0.0, inf), (0.0, 1.0))
    higher_is_better = False
    beside = ("motion",)

    def __init__(self, *, flow: MakeFlow = DIS) -> None:
        self.features: MotionFeatures = MotionFeatures(flow=flow)

    @property
    def settings(self) -> dict[str, Any]:
        return {"pixels": "[0, 1], mean over channels", "features": self.features.settings}

    def judge(self, found: Found, prompts: Sequence[str]) -> list[Row]:
        errors = found["warping_error"].double().nanmean(1).tolist()
        shares = found["visible"].double().mean(1).tolist()
        return [
            {"warping_error": error if isfinite(error) else None, "visible_share": share}
            for error, share in zip(errors, shares, strict=True)
        ]
