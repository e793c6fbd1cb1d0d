"""A patch discriminator over space and time (PatchGAN, Isola et al. 2017; 3-D as in TATS,
Ge et al. 2022, and MAGVIT, Yu et al. 2023).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vidiff.checks import at_least
from vidiff.discriminators.base import Discriminator
from vidiff.registry import register


@register("patch_3d")
class Patch3D(Discriminator):
    """Strided 3-D convolutions, to one logit for each patch of a few frames.

    Time is halved with kernels of three frames, rounded up: any number of frames will do, even one.

    Args:
        width: channels of the first layer; each next one doubles them, up to eight times as many.
        depth: layers that halve height and width.
        time_depth: how many of them, the first ones, halve the frames too.
        norm: ``group`` for GroupNorm (Wu & He 2018, 16 channels a group), ``spectral`` for spectral
            norm of the weights (Miyato et al. 2018), or ``none``.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        depth: int = 3,
        time_depth: int = 2,
        norm: Literal["group", "spectral", "none"] = "group",
    ) -> None:
        at_least(1, width=width, depth=depth)
        at_least(0, time_depth=time_depth)
        super().__init__()
        self.depth = depth
        channels = [3, *(width * min(2**layer, 8) for layer in range(depth + 1))]
        layers: list[nn.Module] = []
        for layer, (inputs, outputs) in enumerate(pairwise(channels)):
            strided, normed = layer < depth, norm == "group" and layer > 0
            size, stride = ((3, 4, 4), (1 + (layer < time_depth), 2, 2)) if strided else (3, 1)
            convolution = nn.Conv3d(inputs, outputs, size, stride, padding=1, bias=not normed)
            layers.append(spectral_norm(convolution) if norm == "spectral" else convolution)
            if normed:
                layers.append(nn.GroupNorm(max(1, outputs // 16), outputs))
            layers.append(nn.LeakyReLU(0.2))
        last = nn.Conv3d(channels[-1], 1, kernel_size=3, padding=1)
        self.layers = nn.Sequential(*layers, spectral_norm(last) if norm == "spectral" else last)

    def forward(self, pixels: Tensor) -> Tensor:
        """(b, 3, f, h, w) to logits (b, 1, f', h / 2^depth, w / 2^depth); no less than a patch."""
        patch = 2**self.depth
        if min(pixels.shape[-2:]) < patch:
            raise ValueError(
                f"patch_3d with depth={self.depth} needs frames of at least {patch} x {patch} "
                f"pixels, got {pixels.shape[-2]} x {pixels.shape[-1]}: lower its depth"
            )
        return self.layers(pixels)
