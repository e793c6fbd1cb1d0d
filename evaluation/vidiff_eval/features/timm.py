"""Vectors of frames from any network of timm (Wightman 2019), by its name and weights."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.features.base import Found, NetworkFeatures

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidiff_eval.networks.frames import Preparation


@register("timm")
class Timm(NetworkFeatures):
    """The vector of each frame before the classifier of a timm model, such as DINO's.

    ``features`` are (b, f, d), as the network gives them: not scaled to length 1. Frames are
    prepared as timm prepares pictures to evaluate the model, on tensors.

    Args:
        model: its name in timm, with the tag of its weights, such as ``vit_base_patch16_224.dino``.
        weights: the file of its weights. By default looked for in ``$VIDIFF_WEIGHTS`` and in the
            caches of torch hub and Hugging Face.
    """

    def __init__(self, *, model: str, weights: str | None = None) -> None:
        self.name = f"timm_{model}"  # type: ignore[misc]
        self.model = model
        super().__init__(weights=weights)

    @cached_property
    def preparation(self) -> Preparation:
        """How frames reach the network."""
        from vidiff_eval.networks.timm_model import timm_preparation

        return timm_preparation(self.model)

    def find_weights(self) -> Path:
        from vidiff_eval.networks.timm_model import find_timm_weights

        return find_timm_weights(self.model)

    @cached_property
    def network(self) -> nn.Module:
        from vidiff_eval.networks.timm_model import load_timm

        return load_timm(self.model, self.path)

    @property
    def settings(self) -> dict[str, Any]:
        from vidiff_eval.networks.weights import sha256

        return {
            "network": "timm",
            "model": self.model,
            "weights_sha256": sha256(self.path),
            "preparation": self.preparation.record,
        }

    def extract(self, clips: Tensor) -> Found:
        from vidiff_eval.networks.frames import embed_frames

        network = self.network.to(self.device)
        return {"features": embed_frames(clips, self.preparation, network, self.device)}
