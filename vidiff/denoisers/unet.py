"""The space-time U-Net (Video Diffusion Models, Ho et al. 2022).

Convolutions and attention are factorised: each works on single frames, and then along frames only.
What works along frames starts as the identity, so that an untrained network treats a video as
images (Blattmann et al. 2023).
"""

from __future__ import annotations

import functools

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vidiff.conditioning import Condition
from vidiff.denoisers.base import Denoiser
from vidiff.denoisers.time import TimeEmbedding
from vidiff.denoisers.unet_blocks import (
    Block,
    Grow,
    Shrink,
    fold,
    group_norm,
    per_frame,
    unfold,
    zero,
)
from vidiff.positions import SinCos
from vidiff.registry import register
from vidiff.types import TextFeatures


@register("unet")
class UNet(Denoiser):
    """Down through levels of half the height and width each, and up again beside the way down.

    Each part of the way up sees, beside its input, what its mirror image on the way down gave.
    Frames are never merged, so any number of them works, one included. Time, the pooled text and
    the frame's place scale and shift every block, so that what a prompt says of a motion can mean
    something else in each frame; attention layers see the text's tokens too.

    Args:
        in_channels: channels of the latents.
        out_channels: channels to predict.
        text_dim: width of the text features; 0 for a model without text.
        width: channels of the first level, times its multiplier.
        multipliers: channels of each level, over ``width``; their number is the number of levels.
            ``[1, 2, 4]``, by default.
        depth: blocks of each level, on the way down and on the way up.
        attention_levels: levels whose blocks have attention, where 0 is the finest. All but that
            one, by default: attention over h x w places costs (h x w) squared.
        num_heads: heads of each attention layer.
        fold: fold x fold pixels become one place of the first level, by space to depth. A network
            on pixels then costs about fold squared times less, and draws details finer than this by
            its last convolution alone.

    Raises:
        ValueError: if a number is below 1, there is no level of an attention's number, or its
            channels do not divide into heads of even width.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        text_dim: int,
        width: int = 64,
        multipliers: list[int] | None = None,
        depth: int = 2,
        attention_levels: list[int] | None = None,
        num_heads: int = 4,
        fold: int = 1,
    ) -> None:
        super().__init__()
        multipliers = [1, 2, 4] if multipliers is None else multipliers
        levels = range(len(multipliers))
        attended = levels[1:] if attention_levels is None else attention_levels
        if min([width, depth, num_heads, fold, len(multipliers), *multipliers]) < 1:
            raise ValueError(
                f"unet needs a level and numbers of at least 1, got {width=}, {multipliers=}, "
                f"{depth=}, {num_heads=}, {fold=}"
            )
        for level in attended:
            if level not in levels:
                raise ValueError(
                    f"attention_levels {list(attended)} must lie within 0 and {levels[-1]}, the "
                    f"levels of the multipliers {multipliers}"
                )
            if width * multipliers[level] % (2 * num_heads):
                raise ValueError(
                    f"{width * multipliers[level]} channels of level {level} do not divide into "
                    f"num_heads {num_heads} of even width"
                )
        self.fold, self.smallest = fold, fold * 2 ** levels[-1]
        signal = 4 * width
        self.time = TimeEmbedding(signal)
        self.places = SinCos(width=2 * width, num_heads=1, shares=(1.0, 0.0, 0.0))
        self.frames = nn.Linear(2 * width, signal)
        self.text = nn.Linear(text_dim, signal) if text_dim else None
        channels = width * multipliers[0]
        self.first = nn.Conv2d(in_channels * fold**2, channels, kernel_size=3, padding=1)
        self.last_norm = group_norm(channels)
        self.last = zero(nn.Conv2d(channels, out_channels * fold**2, kernel_size=3, padding=1))

        down: list[nn.Module] = []
        up: list[nn.Module] = []  # from the end
        for level in levels:
            above, channels = channels, width * multipliers[level]
            block = functools.partial(
                Block, outputs=channels, signal=signal, text_dim=text_dim,
                num_heads=num_heads if level in attended else 0,
            )  # fmt: skip
            if level > 0:
                down.append(Shrink(above, channels))
                up.append(Grow(2 * channels, above))
            down += [block(channels) for _ in range(depth)]
            up += [block(2 * channels) for _ in range(depth)]
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(reversed(up))
        self.middle = nn.ModuleList([block(channels)])

    def forward(self, latents: Tensor, t: Tensor, text: TextFeatures | None = None) -> Tensor:
        self._check_size(*latents.shape[3:])
        condition = self._prepare(t, text, latents.shape[2])
        x = per_frame(self.first, fold(rearrange(latents, "b c f h w -> b f h w c"), self.fold))
        given = []
        for part in self.down:
            x = part(x, condition)
            given.append(x)
        for part in self.middle:
            x = part(x, condition)
        for part in self.up:
            x = part(torch.cat([x, given.pop()], dim=-1), condition)
        x = per_frame(self.last, F.silu(per_frame(self.last_norm, x)))
        return rearrange(unfold(x, self.fold), "b f h w c -> b c f h w")

    def blocks_to_compile(self) -> list[nn.Module]:
        """Blocks with convolutions; what is between levels is one product each."""
        return [part for part in super().blocks_to_compile() if isinstance(part, Block)]

    def _prepare(self, t: Tensor, text: TextFeatures | None, num_frames: int) -> Condition:
        """A vector for each frame, (b, f, signal), and the text's tokens."""
        places = self.places.table((num_frames, 1, 1), t.device)
        frames = self.frames(places.to(self.frames.weight.dtype))
        vector = self.time(t)
        if text is None:
            return Condition(vector.unsqueeze(1) + frames)
        assert self.text is not None
        vector = vector + self.text(text.pooled)
        return Condition(vector.unsqueeze(1) + frames, text.tokens, text.mask)

    def _check_size(self, height: int, width: int) -> None:
        for axis, size in (("height", height), ("width", width)):
            if size % self.smallest or size < self.smallest:
                nearest = max(self.smallest, round(size / self.smallest) * self.smallest)
                raise ValueError(
                    f"latent {axis} {size} does not divide by {self.smallest}, the coarsest place "
                    f"of this unet; the nearest that does is {nearest}, or change fold and the "
                    "number of multipliers"
                )
