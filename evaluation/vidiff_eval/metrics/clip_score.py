"""How well videos fit their prompts, by CLIP (Hessel et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.features.clip import CLIP
from vidiff_eval.metrics.base import ClipMetric, Row

if TYPE_CHECKING:
    from vidiff_eval.features.base import Found


@register("clip_score")
class CLIPScore(ClipMetric):
    """How well videos fit their prompts: the cosine between CLIP's vectors of frames and prompt.

    ``scale`` x max(0, cosine) of every frame with the prompt, mean over the frames of a clip, then
    over clips. Tools differ: torchmetrics clamps the mean of all pairs instead of each pair, others
    take one frame, or frames that were not normalised. It depends on the CLIP that is used, and
    sees no motion: a still picture that fits scores as well.

    Args:
        model: the folder of a CLIP, in Hugging Face layout or open_clip's; by default the one that
            ``$VIDIFF_CLIP`` names.
        scale: 100 is usual for videos; Hessel et al. have 2.5.

    Raises:
        ValueError: if ``scale`` is not positive.

    Example:
        >>> import torch
        >>> metric = CLIPScore()
        >>> metric.features.embed_text = lambda prompts: torch.tensor([[3.0, 4.0]])  # of a CLIP
        >>> frames = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
        >>> (row,) = metric.judge({"features": frames}, ["a prompt"])
        >>> [round(row[name], 4) for name in ("clip_score", "lowest_frame", "highest_frame")]
        [30.0, 0.0, 60.0]
    """

    scores = ("clip_score",)
    limits = ((0.0, inf),)
    higher_is_better = True
    needs_prompts = True

    def __init__(self, model: str | None = None, scale: float = 100.0) -> None:
        if not scale > 0:
            raise ValueError(f"scale must be positive, got {scale}")
        self.features: CLIP = CLIP(model=model)
        self.scale = scale

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "frames": "all, mean",
            "clamp": "each pair of a frame and its prompt, at 0",
            "features": self.features.settings,
        }

    def check_prompts(self, prompts: Sequence[str]) -> None:
        for number, prompt in enumerate(prompts, start=1):
            if not prompt.strip():
                raise ValueError(
                    f"clip_score judges videos by their prompts, and prompt {number} of "
                    f"{len(prompts)} is empty: give --prompts"
                )

    def judge(self, found: Found, prompts: Sequence[str]) -> list[Row]:
        from einops import einsum

        from vidiff_eval.statistics.consistency import unit

        frames, texts = unit(found["features"]), unit(self.features.embed_text(prompts))
        cosines = einsum(frames, texts, "b f d, b d -> b f")
        scores = self.scale * cosines.clamp(min=0)
        return [
            {
                "clip_score": clip.mean().item(),
                "lowest_frame": clip.min().item(),
                "highest_frame": clip.max().item(),
            }
            for clip in scores
        ]
