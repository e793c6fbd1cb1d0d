"""What ``vidiff doctor`` says of the evaluation package."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from vidiff.doctor import Check, Finding, find_weights
from vidiff.registry import register


@register("evaluation_weights")
class EvaluationWeights(Check):
    """Weights of the networks that metrics use."""

    place: ClassVar[int] = 6

    def look(self) -> list[Finding]:
        from vidiff_eval.metrics.consistency import DINO
        from vidiff_eval.networks import i3d_weights, inception, timm_model
        from vidiff_eval.networks.flow import RAFT

        return [
            find_weights("I3D", "fvd, fvd_infinity, kvd, rfvd", i3d_weights.find_weights),
            find_weights("Inception", "fid", inception.find_inception),
            find_weights("CLIP", "clip_score, clip_consistency", _clip),
            find_weights(
                "DINO", "subject_consistency", partial(timm_model.find_timm_weights, DINO)
            ),
            find_weights("RAFT", "motion and warping_error by RAFT", lambda: RAFT().path),
        ]


def _clip() -> Path:
    from vidiff_eval.features.clip import CLIP

    return CLIP().network.folder
