"""How alike the frames of a video are to CLIP."""

from __future__ import annotations

from vidiff.registry import register
from vidiff_eval.features.clip import CLIP
from vidiff_eval.metrics.consistency import ADJACENT, VBENCH, Consistency


@register("clip_consistency")
class CLIPConsistency(Consistency):
    """How alike frames are to CLIP: cosines with the next frame, and those of VBench.

    ``clip_consistency`` is the mean cosine of each frame with the next, ``clip_consistency_vbench``
    the mean of ½ (max(0, cosine with the frame before) + max(0, cosine with the first)). Some tools
    give CLIP frames that were not normalised, whose scores are not comparable. A frozen video
    scores 1: read it beside the amount of motion.

    Args:
        model: the folder of a CLIP, in Hugging Face layout or open_clip's; by default the one that
            ``$VIDIFF_CLIP`` names.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])  # of three frames
        >>> CLIPConsistency().judge({"features": vectors}, [""])
        [{'clip_consistency': 0.5, 'clip_consistency_vbench': 0.5}]
    """

    scores = ("clip_consistency", "clip_consistency_vbench")
    limits = ((-1.0, 1.0), (0.0, 1.0))
    ways = (ADJACENT, VBENCH)

    def __init__(self, model: str | None = None) -> None:
        self.features = CLIP(model=model)
