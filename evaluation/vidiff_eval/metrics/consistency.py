"""How alike the frames of a video are: subject and background consistency (VBench, 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.features.base import Features
from vidiff_eval.features.clip import CLIP
from vidiff_eval.features.timm import Timm
from vidiff_eval.metrics.base import ClipMetric, Row

if TYPE_CHECKING:
    from torch import Tensor

    from vidiff_eval.features.base import Found

ADJACENT, VBENCH = "adjacent", "adjacent and first, clamped at 0"

DINO = "vit_base_patch16_224.dino"
"""The network of VBench's subject consistency, as timm names it."""


class Consistency(ClipMetric):
    """How alike frames are by the cosines of their vectors; greatest for a video that is frozen.

    Attributes:
        ways: what each of ``scores`` compares, ``ADJACENT`` frames or those of ``VBENCH``.
        features: give the vectors, (b, f, d).
    """

    higher_is_better = True
    beside = ("motion",)
    ways: tuple[str, ...]
    features: Features

    @property
    def settings(self) -> dict[str, Any]:
        ways = dict(zip(self.scores, self.ways, strict=True))
        return {"cosines": ways, "features": self.features.settings}

    @property
    def min_frames(self) -> int:
        return max(2, super().min_frames)

    def judge(self, found: Found, prompts: Sequence[str]) -> list[Row]:
        from vidiff_eval.statistics.consistency import adjacent, adjacent_and_first

        functions = {ADJACENT: adjacent, VBENCH: adjacent_and_first}
        columns = [functions[way](found["features"]).tolist() for way in self.ways]
        return [
            dict(zip(self.scores, values, strict=True)) for values in zip(*columns, strict=True)
        ]

    def curves(self, found: Found) -> Mapping[str, Tensor]:
        from vidiff_eval.statistics.consistency import by_distance

        # At distance 1 it is the score itself.
        return {self.scores[self.ways.index(ADJACENT)]: by_distance(found["features"])}


@register("subject_consistency")
class SubjectConsistency(Consistency):
    """How alike the subject of a video stays: cosines of frames by DINO, as VBench defines it.

    The mean over frames of ½ (max(0, cosine with the frame before) + max(0, cosine with the
    first)); ``subject_consistency_adjacent`` is the plain mean of cosines with the next. VBench's
    network is DINO's ViT-B/16, to which it scales frames without antialiasing and without a crop:
    its scores differ a little. A frozen video scores 1: read it beside the amount of motion.

    Args:
        model: a network of timm.
        weights: the file of its weights; by default looked for in ``$VIDIFF_WEIGHTS`` and in the
            caches of torch hub and Hugging Face.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]])  # of three frames
        >>> SubjectConsistency().judge({"features": vectors}, [""])
        [{'subject_consistency': 0.5, 'subject_consistency_adjacent': 0.0}]
    """

    scores = ("subject_consistency", "subject_consistency_adjacent")
    limits = ((0.0, 1.0), (-1.0, 1.0))
    ways = (VBENCH, ADJACENT)

    def __init__(self, model: str = DINO, weights: str | None = None) -> None:
        self.features = Timm(model=model, weights=weights)


@register("background_consistency")
class BackgroundConsistency(Consistency):
    """How alike the background of a video stays: cosines of frames by CLIP, as VBench defines it.

    The formula is that of ``subject_consistency``; only the network differs, which sees the whole
    frame in both. VBench's is CLIP's ViT-B/32, to which it scales frames without antialiasing: its
    scores differ a little. A frozen video scores 1: read it beside the amount of motion.

    Args:
        model: the folder of a CLIP, in Hugging Face layout or open_clip's, by default the one that
            ``$VIDIFF_CLIP`` names; or, with ``weights``, the name of a network of timm.
        weights: the file of the timm network's weights.

    Raises:
        ValueError: if there are weights and no model.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])  # of three frames
        >>> BackgroundConsistency().judge({"features": vectors}, [""])
        [{'background_consistency': 0.25, 'background_consistency_adjacent': 0.0}]
    """

    scores = ("background_consistency", "background_consistency_adjacent")
    limits = ((0.0, 1.0), (-1.0, 1.0))
    ways = (VBENCH, ADJACENT)

    def __init__(self, model: str | None = None, weights: str | None = None) -> None:
        if weights is not None and model is None:
            raise ValueError("weights are those of a timm network: set model to its name, too")
        self.features = (
            CLIP(model=model)
            if weights is None or model is None
            else Timm(model=model, weights=weights)
        )
