"""How videos move from frame to frame, by optical flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.features.base import Features, Found
from vidiff_eval.networks.flow import DIS, MakeFlow

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 8
"""Pairs of frames whose flow is held at once."""

TOP = 0.05
"""Share of a frame's pixels that count as its fastest, as in VBench."""


@register("motion")
class MotionFeatures(Features):
    """What optical flow tells of each frame and the next: (b, f - 1) each.

    - ``mean_flow``: length of the flow, mean over pixels, in percent of the frame's short side.
    - ``top_flow``: the same of the fastest 5 % of pixels.
    - ``warping_error``: mean squared difference from the next frame, warped, where that is visible,
      for pixels in [0, 1]; NaN where nothing is. See ``statistics.warping``.
    - ``visible``: share of pixels that are visible in the next frame.
    - ``found_again``: share of those, of all pixels, that have their colour there.
    - ``colour_change``: distance of colour histograms, see ``statistics.cuts``.

    Args:
        flow: which optical flow: ``dis`` needs OpenCV and no weights, ``raft`` weights.
    """

    name = "motion"
    min_frames = 2

    def __init__(self, *, flow: MakeFlow = DIS) -> None:
        self.flow = flow()

    @property
    def settings(self) -> dict[str, Any]:
        return {"motion": "adjacent frames", "top": TOP, **self.flow.settings}

    def extract(self, clips: Tensor) -> Found:
        import torch

        from vidiff_eval.networks.exact import exact

        self.check_frames(clips)
        with exact(self.device):
            found = [self._of_clip(clip.to(self.device).float()) for clip in clips]
        return {name: torch.stack([one[name] for one in found]) for name in found[0]}

    def _of_clip(self, clip: Tensor) -> Found:
        """(3, f, h, w) to (f - 1) each."""
        import torch

        frames = clip.transpose(0, 1)
        pairs = zip(frames[:-1].split(CHUNK), frames[1:].split(CHUNK), strict=True)
        found = [self._of_pairs(*pair) for pair in pairs]
        return {name: torch.cat([one[name] for one in found]).cpu() for name in found[0]}

    def _of_pairs(self, frames: Tensor, others: Tensor) -> Found:
        """(n, 3, h, w) in [-1, 1] twice to (n) each."""
        from vidiff_eval.statistics.cuts import colour_change, found_again
        from vidiff_eval.statistics.warping import visible, warp, warping_error

        forward = self.flow.estimate(frames, others, self.device)
        backward = self.flow.estimate(others, frames, self.device)
        frames, others = (frames + 1) / 2, (others + 1) / 2
        seen, warped = visible(forward, backward), warp(others, forward)
        lengths = forward.norm(dim=1).flatten(1) * 100 / min(frames.shape[2:])
        fastest = max(1, int(TOP * lengths.shape[1]))
        return {
            "mean_flow": lengths.mean(1),
            "top_flow": lengths.topk(fastest).values.mean(1),
            "warping_error": warping_error(frames, warped, seen),
            "visible": seen.float().mean((1, 2)),
            "found_again": found_again(frames, warped, seen),
            "colour_change": colour_change(frames, others),
        }
