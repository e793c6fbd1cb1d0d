"""A causal 3-D variational autoencoder (as in MAGVIT-v2, Yu et al. 2024, and CogVideoX).

Space and time are folded into channels (space-to-depth) instead of being strided over, so that
every convolution runs at a small size: the cheapest way to sharp reconstructions on a CPU.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from vidiff.autoencoders.variational import Variational
from vidiff.registry import register
from vidiff.types import Grid


@register("causal_kl")
class CausalKL(Variational):
    """Folds and causal residual convolutions, to a Gaussian over latents and back.

    A latent frame depends on its own and on earlier pixels only; the first frame stands alone.

    Args:
        latent_channels: channels of the latents.
        folds: how much each stage folds along frames, height and width; the compression is their
            product.
        width: channels of each stage's convolutions, one number per fold.
        depth: residual blocks of each stage, in the encoder and in the decoder.

    Raises:
        ValueError: if ``folds`` and ``width`` differ in length or a number is below 1.
    """

    def __init__(
        self,
        *,
        latent_channels: int = 8,
        folds: list[tuple[int, int, int]] | None = None,
        width: list[int] | None = None,
        depth: int = 2,
    ) -> None:
        folds = folds or [(2, 4, 4)]
        width = width or [128] * len(folds)
        if len(folds) != len(width) or min([depth, latent_channels, *width, *map(min, folds)]) < 1:
            raise ValueError(
                "causal_kl needs one width per fold, and numbers of at least 1, got "
                f"folds={folds}, width={width}, depth={depth}, latent_channels={latent_channels}"
            )
        super().__init__(latent_channels)
        frames, height, span = (math.prod(axis) for axis in zip(*folds, strict=True))
        self.compression = (frames, height, span)
        channels = [3, *width]
        stages = list(zip(channels[:-1], channels[1:], folds, strict=True))
        self.encoder = nn.Sequential(
            *(Down(inner, outer, fold, depth) for inner, outer, fold in stages),
            CausalConv(width[-1], 2 * latent_channels),
        )
        self.decoder = nn.Sequential(
            CausalConv(latent_channels, width[-1]),
            *(Up(outer, inner, fold, depth) for inner, outer, fold in reversed(stages)),
        )

    def moments(self, pixels: Tensor) -> Tensor:
        return self.encoder(pixels)

    def reconstruct(self, latents: Tensor) -> Tensor:
        return self.decoder(latents)


class Down(nn.Module):
    """One stage of the encoder: fold, then residual blocks."""

    def __init__(self, inputs: int, outputs: int, fold: Grid, depth: int) -> None:
        super().__init__()
        self.fold = Fold(fold)
        self.mix = nn.Conv3d(inputs * math.prod(fold), outputs, kernel_size=1)
        self.blocks = nn.ModuleList(Residual(outputs) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, 1 + k pf, h, w) to (b, outputs, 1 + k, h / ph, w / pw)."""
        x = self.mix(self.fold(x))
        for block in self.blocks:
            x = block(x)
        return x


class Up(nn.Module):
    """One stage of the decoder: residual blocks, then unfold."""

    def __init__(self, inputs: int, outputs: int, fold: Grid, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Residual(inputs) for _ in range(depth))
        self.mix = nn.Conv3d(inputs, outputs * math.prod(fold), kernel_size=1)
        self.unfold = Unfold(fold)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, 1 + k, h, w) to (b, outputs, 1 + k pf, h ph, w pw)."""
        for block in self.blocks:
            x = block(x)
        return self.unfold(self.mix(x))


class Fold(nn.Module):
    """Space-time to depth; the first frame, alone in its fold, is repeated to fill it."""

    def __init__(self, fold: Grid) -> None:
        super().__init__()
        self.fold = fold

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, 1 + k pf, h, w) to (b, c pf ph pw, 1 + k, h / ph, w / pw)."""
        pf, ph, pw = self.fold
        first = x[:, :, :1].expand(-1, -1, pf - 1, -1, -1)
        return rearrange(
            torch.cat([first, x], dim=2),
            "b c (f pf) (h ph) (w pw) -> b (c pf ph pw) f h w", pf=pf, ph=ph, pw=pw,
        )  # fmt: skip


class Unfold(nn.Module):
    """Depth to space-time, undoing ``Fold``."""

    def __init__(self, fold: Grid) -> None:
        super().__init__()
        self.fold = fold

    def forward(self, x: Tensor) -> Tensor:
        """(b, c pf ph pw, 1 + k, h, w) to (b, c, 1 + k pf, h ph, w pw)."""
        pf, ph, pw = self.fold
        x = rearrange(x, "b (c pf ph pw) f h w -> b c (f pf) (h ph) (w pw)", pf=pf, ph=ph, pw=pw)
        return x[:, :, pf - 1 :]


class CausalConv(nn.Conv3d):
    """A 3 x 3 x 3 convolution that sees no later frame; before the first one it sees the first."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=3, padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, f, h, w) to (b, outputs, f, h, w)."""
        before = x[:, :, :1].expand(-1, -1, 2, -1, -1)
        return super().forward(torch.cat([before, x], dim=2))


class Residual(nn.Module):
    """Norm, SiLU and a causal convolution, twice, around a skip; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.conv1, self.conv2 = CausalConv(channels, channels), CausalConv(channels, channels)
        nn.init.zeros_(self.conv2.weight)
        assert self.conv2.bias is not None
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, f, h, w) to the same shape."""
        y = self.conv1(nn.functional.silu(self.norm1(x)))
        return x + self.conv2(nn.functional.silu(self.norm2(y)))


class ChannelNorm(nn.Module):
    """RMSNorm over channels: unlike GroupNorm it mixes no frames, so causality holds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, f, h, w) to the same shape."""
        scale = x.float().square().mean(1, keepdim=True).add(1e-6).rsqrt().to(x.dtype)
        return x * scale * self.gain.view(1, -1, 1, 1, 1).to(x.dtype)
