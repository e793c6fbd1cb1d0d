"""How much videos change from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vidiff.registry import register
from vidiff_eval.features.pixels import Pixels
from vidiff_eval.metrics.base import ClipMetric, Row

if TYPE_CHECKING:
    from vidiff_eval.features.base import Found


@register("flicker")
class Flicker(ClipMetric):
    """Mean absolute difference of adjacent frames, in grey levels of 255.

    Over pixels, channels and pairs of frames. What moves differs from frame to frame, too: compare
    scenes that stand still, or videos beside the real ones and their motion. A frozen video has 0.
    ``flicker_vbench`` is 1 - flicker / 255, as VBench's temporal flickering has it (Huang et al.
    2024), which takes videos of scenes that stand still alone. What measures of reconstructions
    call flicker is the error of this change.

    Example:
        >>> import torch
        >>> clip = torch.tensor([-1.0, 1.0, 1.0]).view(1, 1, 3, 1, 1).expand(1, 3, 3, 8, 8)
        >>> Flicker()(clip)
        {'flicker': 127.5, 'flicker_vbench': 0.5}
    """

    scores = ("flicker", "flicker_vbench")
    units = ("grey levels", "")
    limits = ((0.0, 255.0), (0.0, 1.0))
    higher_is_better = None
    beside = ("motion",)

    def __init__(self) -> None:
        self.features: Pixels = Pixels()

    def judge(self, found: Found, prompts: Sequence[str]) -> list[Row]:
        return [
            {"flicker": clip, "flicker_vbench": 1 - clip / 255}
            for clip in found["difference"].double().mean(1).tolist()
        ]
