"""Inception's features of frames, which the FID compares (Heusel et al. 2017)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vidiff.registry import register
from vidiff_eval.features.base import Found, NetworkFeatures
from vidiff_eval.networks.exact import exact
from vidiff_eval.networks.inception import SIZE, InceptionV3, find_inception
from vidiff_eval.networks.weights import sha256

CHUNK = 16
"""Frames that go through the network at once."""


@register("inception")
class Inception(NetworkFeatures):
    """The 2048 features of Inception-v3 of each frame, resized by clean-fid (Parmar et al. 2022).

    Frames are rounded to 256 grey levels, as image files hold them, then resized by clean-fid's own
    code: Pillow's antialiased bicubic filter on floats, to 299 x 299. So features of a frame are
    those that clean-fid's ``clean`` mode finds of the same picture.

    Args:
        weights: path of the TorchScript file that clean-fid downloads, ``inception-2015-12-05.pt``.
            By default looked for in ``$VIDIFF_WEIGHTS``, where clean-fid keeps it, and the caches
            of torch hub and StyleGAN's tools.
    """

    name = "inception"

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "network": self.name,
            "weights_sha256": sha256(self.path),
            "resize": "clean-fid",
            "size": SIZE,
            "to_uint8": "round",
        }

    def extract(self, clips: Tensor) -> Found:
        """Clips (b, 3, f, h, w) in [-1, 1] to features (b, f, 2048), float32.

        Raises:
            ValueError: if weights are missing or wrong.
        """
        return {"features": torch.stack([self._of_clip(clip) for clip in clips])}

    def _of_clip(self, clip: Tensor) -> Tensor:
        """(3, f, h, w) to (f, 2048)."""
        network = self.network.to(self.device)
        levels = ((clip.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        frames = rearrange(levels, "c f h w -> f h w c").cpu().numpy()
        with exact(self.device):
            found = [
                network(_resize(frames[start : start + CHUNK]).to(self.device)).float().cpu()
                for start in range(0, len(frames), CHUNK)
            ]
        return torch.cat(found)

    def find_weights(self) -> Path:
        return find_inception()

    @cached_property
    def network(self) -> InceptionV3:
        return InceptionV3(self.path)


def _resize(frames: np.ndarray) -> Tensor:
    """Frames (f, h, w, 3) of bytes to (f, 3, 299, 299) in [0, 255], by clean-fid."""
    from cleanfid.resize import build_resizer

    resize = build_resizer("clean")
    resized = np.stack([resize(frame) for frame in frames])
    return rearrange(torch.from_numpy(resized), "f h w c -> f c h w")
