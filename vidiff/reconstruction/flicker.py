"""Change from frame to frame that the original does not have."""

from __future__ import annotations

import warnings

from torch import Tensor

from vidiff.reconstruction.base import Reconstruction, ReconstructionMetric, Sums, widest
from vidiff.registry import register

GREY_LEVELS = 127.5  # of 255, in 1 on the scale of [-1, 1]


@register("flicker")
class Flicker(ReconstructionMetric):
    """How wrong the change from frame to frame is, in grey levels of 255.

    ``flicker`` is the mean absolute difference between a reconstruction's change and the
    original's. ``frame_change`` and ``frame_change_reference`` are the mean absolute changes
    themselves, which show a video that stands still and so flickers little. Videos of one frame do
    not count; where there are no others, there is a warning and no score.
    """

    higher_is_better = False
    score_names = ("flicker", "frame_change", "frame_change_reference")

    def measure(self, videos: Reconstruction) -> Sums:
        change, reference = videos.pixels.diff(dim=2), videos.reference.diff(dim=2)
        counted = len(change) if change.shape[2] else 0
        found = {
            "flicker": change - reference,
            "frame_change": change,
            "frame_change_reference": reference,
        }
        sums = {name: self._total(x) for name, x in found.items()}
        return sums | {"num_videos": sums["flicker"].new_full((), counted)}

    def _total(self, change: Tensor) -> Tensor:
        """Sum over videos of the mean absolute change, in grey levels."""
        levels = change.abs().to(widest(change.device)) * GREY_LEVELS
        return levels.flatten(1).sum() / max(1, levels[0].numel())

    def summarise(self, sums: Sums) -> dict[str, Tensor]:
        num_videos = sums["num_videos"]
        if not num_videos:
            warnings.warn("flicker is not measured: no video has two frames", stacklevel=2)
            return {}
        return {name: total / num_videos for name, total in sums.items() if name != "num_videos"}
