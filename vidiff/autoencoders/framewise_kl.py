"""The image autoencoder of latent diffusion (Rombach et al. 2022), frame by frame.

The same layers as diffusers' ``AutoencoderKL`` (a test copies weights from one to the other), and
frames are the batch: nothing is compressed along time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vidiff.attention.functional import attend
from vidiff.autoencoders.base import Past
from vidiff.autoencoders.learned import Variational, in_type_of
from vidiff.registry import register

MakeNorm = Callable[[int], nn.Module]


@register("framewise_kl")
class FramewiseKL(Variational):
    """Residual 2-D convolutions on each frame, to a Gaussian over latents and back.

    Every level but the last halves height and width, so three more levels compress by (1, 8, 8).
    Frames know nothing of each other: any number of them works, and an image is a video of one.

    Args:
        latent_channels: channels of the latents.
        width: channels of each level, from pixels to latents. Those of Stable Diffusion, by
            default: 128, 256, 512 and 512.
        depth: residual blocks of each level; the decoder has one more.
        num_groups: groups of channels that are normalised together; each width divides into them.
    """

    def __init__(
        self,
        *,
        latent_channels: int = 4,
        width: list[int] | None = None,
        depth: int = 2,
        num_groups: int = 32,
    ) -> None:
        width = [128, 256, 512, 512] if width is None else width
        if min([latent_channels, depth, num_groups, len(width), *width]) < 1:
            raise ValueError(
                "framewise_kl needs a level and numbers of at least 1, got "
                f"{latent_channels=}, {width=}, {depth=}, {num_groups=}"
            )
        if wrong := [channels for channels in width if channels % num_groups]:
            raise ValueError(
                f"framewise_kl needs widths that divide by num_groups {num_groups}, "
                f"{wrong[0]} does not: change one of them"
            )
        super().__init__(latent_channels)
        compression = 2 ** (len(width) - 1)
        self.compression = (1, compression, compression)
        norm = functools.partial(nn.GroupNorm, num_groups, eps=1e-6)
        finest, coarsest = width[0], width[-1]
        levels = range(len(width))
        self.encoder = nn.Sequential(
            conv(3, finest),
            *(
                Down(finer, channels, depth, norm, shrink=level < levels[-1])
                for level, finer, channels in zip(levels, [finest, *width[:-1]], width, strict=True)
            ),
            Middle(coarsest, norm),
            norm(coarsest),
            nn.SiLU(),
            conv(coarsest, 2 * latent_channels),
            nn.Conv2d(2 * latent_channels, 2 * latent_channels, kernel_size=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, latent_channels, kernel_size=1),
            conv(latent_channels, coarsest),
            Middle(coarsest, norm),
            *(
                Up(coarser, channels, depth + 1, norm, grow=level > 0)
                for level, coarser, channels in reversed(
                    list(zip(levels, [*width[1:], coarsest], width, strict=True))
                )
            ),
            norm(finest),
            nn.SiLU(),
            conv(finest, 3),
        )

    def moments(self, pixels: Tensor, past: Past | None = None) -> Tensor:
        return per_frame(self.encoder, pixels)

    def reconstruct(self, latents: Tensor, past: Past | None = None) -> Tensor:
        return per_frame(self.decoder, latents)

    def last_layer(self) -> nn.Parameter:
        last = self.decoder[-1]
        assert isinstance(last, nn.Conv2d)
        assert isinstance(last.weight, nn.Parameter)
        return last.weight


class Down(nn.Module):
    """One level of the encoder: residual blocks, then a strided convolution."""

    def __init__(
        self, inputs: int, outputs: int, depth: int, norm: MakeNorm, *, shrink: bool
    ) -> None:
        super().__init__()
        self.blocks = residuals(inputs, outputs, depth, norm)
        self.shrink = nn.Conv2d(outputs, outputs, kernel_size=3, stride=2) if shrink else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / 2, w / 2), or h and w where it does not shrink."""
        for block in self.blocks:
            x = block(x)
        # Padded at the right and the bottom only, as in the published weights.
        return x if self.shrink is None else self.shrink(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Module):
    """One level of the decoder: residual blocks, then each place repeated 2 x 2 and convolved."""

    def __init__(
        self, inputs: int, outputs: int, depth: int, norm: MakeNorm, *, grow: bool
    ) -> None:
        super().__init__()
        self.blocks = residuals(inputs, outputs, depth, norm)
        self.grow = conv(outputs, outputs) if grow else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, 2 h, 2 w), or h and w where it does not grow."""
        for block in self.blocks:
            x = block(x)
        return x if self.grow is None else self.grow(F.interpolate(x, scale_factor=2.0))


class Middle(nn.Module):
    """Residual block, attention, residual block, at the size of the latents."""

    def __init__(self, channels: int, norm: MakeNorm) -> None:
        super().__init__()
        first, last = (Residual(channels, channels, norm) for _ in range(2))
        self.blocks = nn.ModuleList([first, Attention(channels, norm), last])

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to the same shape."""
        for block in self.blocks:
            x = block(x)
        return x


class Residual(nn.Module):
    """Norm, SiLU and a convolution, twice, around a skip."""

    def __init__(self, inputs: int, outputs: int, norm: MakeNorm) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), conv(inputs, outputs)
        self.norm2, self.conv2 = norm(outputs), conv(outputs, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h, w)."""
        y = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(y)))


class Attention(nn.Module):
    """Attention with one head among the places of a frame, around a skip."""

    def __init__(self, channels: int, norm: MakeNorm) -> None:
        super().__init__()
        self.norm, self.out = norm(channels), nn.Linear(channels, channels)
        self.qkv = nn.Linear(channels, 3 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to the same shape."""
        tokens = rearrange(self.norm(x), "n c h w -> n 1 (h w) c")
        mixed = self.out(attend(*self.qkv(tokens).chunk(3, dim=-1)))
        return x + rearrange(mixed, "n 1 (h w) c -> n c h w", h=x.shape[2])


def residuals(inputs: int, outputs: int, depth: int, norm: MakeNorm) -> nn.ModuleList:
    """The blocks of a level."""
    return nn.ModuleList(
        Residual(outputs if block else inputs, outputs, norm) for block in range(depth)
    )


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)


def per_frame(layers: nn.Module, x: Tensor) -> Tensor:
    """Each frame of (b, c, f, h, w) by itself through layers for images."""
    y = layers(rearrange(in_type_of(layers, x), "b c f h w -> (b f) c h w"))
    return rearrange(y, "(b f) c h w -> b c f h w", b=len(x))
