"""LPIPS of pairs (Zhang et al. 2018)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.metrics.reconstruction import ScoredPairs
from vidiff_eval.networks.weights import sha256

if TYPE_CHECKING:
    from vidiff.perceptual.backbones import BackboneName
    from vidiff.reconstruction.base import VideoScore


@register("lpips")
class LPIPS(ScoredPairs):
    """How different each clip looks from the real one of its name, mean over frames.

    Which variant it is, the weights decide: the settings name it (``lpips-alex``,
    ``st-lpips-alex``, …), and scores of one are not to be compared with scores of another.

    Args:
        weights: path of the weights; by default they are looked for, see the perceptual distance
            ``lpips``.
        backbone: ``alex``, which is usual for scores, or ``vgg``.
    """

    scores = ("lpips",)
    limits = ((0.0, inf),)
    higher_is_better = False

    def __init__(self, *, weights: str | None = None, backbone: BackboneName = "alex") -> None:
        self.weights, self.backbone = weights, backbone

    @property
    def settings(self) -> dict[str, Any]:
        variant = self.video_score.score_name
        return {**super().settings, "variant": variant, "weights_sha256": sha256(self.path)}

    @property
    def path(self) -> Any:
        """The file of the weights."""
        from pathlib import Path

        from vidiff.perceptual.weights import find_weights

        return Path(self.weights) if self.weights else find_weights(self.backbone)

    def make(self) -> VideoScore:
        from functools import partial

        from vidiff.perceptual import LPIPS
        from vidiff.reconstruction.lpips import PerceptualDistance

        distance = partial(LPIPS, weights=str(self.path), backbone=self.backbone)
        return PerceptualDistance(distance=distance)
