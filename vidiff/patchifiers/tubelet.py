"""Tubelet embedding (ViViT, Arnab et al. 2021, section 3.2): patches that reach over time."""

from __future__ import annotations

import math

from einops import rearrange
from torch import Tensor, nn

from vidiff.layers import zero
from vidiff.patchifiers.base import Patchifier
from vidiff.registry import register
from vidiff.types import Grid


@register("tubelet")
class Tubelet(Patchifier):
    """Space-time boxes of ``patch_size``, each mapped linearly to one token.

    The last map starts at zero, so that an untrained model predicts zero (DiT, Peebles & Xie 2023).

    Args:
        patch_size: extent of a patch along frames, height and width, each at least 1.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int,
        patch_size: tuple[int, int, int] = (1, 2, 2),
    ) -> None:
        super().__init__()
        if min(patch_size) < 1:
            raise ValueError(f"patch_size must be at least 1 along each axis: {list(patch_size)}")
        self.patch_size = patch_size
        volume = math.prod(patch_size)
        self.to_tokens = nn.Linear(in_channels * volume, width)
        self.to_latents = zero(nn.Linear(width, out_channels * volume))
        nn.init.xavier_uniform_(self.to_tokens.weight)
        nn.init.zeros_(self.to_tokens.bias)

    def grid(self, frames: int, height: int, width: int) -> Grid:
        counts = []
        for axis, size, patch in zip(
            ("frames", "height", "width"), (frames, height, width), self.patch_size, strict=True
        ):
            if size % patch or size < patch:
                nearest = max(patch, round(size / patch) * patch)
                raise ValueError(
                    f"{size} latent {axis} do not divide into patches of {patch}; "
                    f"the nearest that do are {nearest}, or change patch_size"
                )
            counts.append(size // patch)
        return counts[0], counts[1], counts[2]

    def embed(self, latents: Tensor) -> Tensor:
        pf, ph, pw = self.patch_size
        self.grid(*latents.shape[2:])
        patches = rearrange(
            latents, "b c (f pf) (h ph) (w pw) -> b (f h w) (c pf ph pw)", pf=pf, ph=ph, pw=pw
        )
        return self.to_tokens(patches)

    def unembed(self, tokens: Tensor, grid: Grid) -> Tensor:
        (f, h, w), (pf, ph, pw) = grid, self.patch_size
        return rearrange(
            self.to_latents(tokens),
            "b (f h w) (c pf ph pw) -> b c (f pf) (h ph) (w pw)",
            f=f, h=h, w=w, pf=pf, ph=ph, pw=pw,
        )  # fmt: skip
