"""The space-time U-Net (Video Diffusion Models, Ho et al. 2022).

Convolutions and attention are factorised: each works on single frames, and then along frames only.
What works along frames starts as the identity, so that an untrained network treats a video as
images (Blattmann et al. 2023).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vidiff.conditioning.base import Context, joined
from vidiff.denoisers.base import Denoiser
from vidiff.denoisers.time import TimeEmbedding
from vidiff.denoisers.unet_blocks import Block, Grow, Shrink, fold, group_norm, per_frame, unfold
from vidiff.layers import zero
from vidiff.positions import SinCos
from vidiff.registry import register
from vidiff.types import SignalDims, Signals


@register("unet")
class UNet(Denoiser):
    """Down through levels of half the height and width each, and up again with skips.

    Frames are never merged, so any number of them works, one included. Time, the conditions'
    vectors and the frame's place scale and shift every block, so that a motion in a prompt can mean
    something else in each frame; attention layers see the conditions' tokens too.

    Args:
        width: channels of the first level, times its multiplier.
        multipliers: channels of each level, over ``width``; their number is the number of levels.
            ``[1, 2, 4]``, by default.
        depth: blocks of each level, on the way down and on the way up.
        attention_levels: levels whose blocks have attention, where 0 is the finest. All but that
            one, by default: attention over h x w places costs (h x w) squared.
        num_heads: heads of each attention layer.
        fold: fold x fold pixels become one place of the first level, by space to depth. A network
            on pixels then costs about fold squared times less; only its last convolution draws
            finer details.

    Raises:
        ValueError: if a number is below 1, there is no level of an attention's number, its channels
            do not divide into heads of even width, or a condition has tokens only and no level has
            attention.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        signals: Mapping[str, SignalDims] | None = None,
        width: int = 64,
        multipliers: list[int] | None = None,
        depth: int = 2,
        attention_levels: list[int] | None = None,
        num_heads: int = 4,
        fold: int = 1,
    ) -> None:
        super().__init__(in_channels=in_channels, out_channels=out_channels, signals=signals)
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
        self.places = SinCos(width=2 * width, shares=(1.0, 0.0, 0.0))
        self.frames = nn.Linear(2 * width, signal)
        dims = self.signals.items()
        self.vectors = nn.ModuleDict(
            {name: nn.Linear(d.vector, signal) for name, d in dims if d.vector}
        )
        widths = {name: d.tokens for name, d in dims if d.tokens} if attended else {}
        for name, d in dims:
            if d.forms == ("tokens",) and not attended:
                raise ValueError(
                    f"condition {name!r} has tokens only, which a unet without attention cannot "
                    "use: give attention_levels, or a condition with a vector"
                )
        # Attention layers map the tokens of one condition; those of several are made alike first.
        self.tokens = nn.ModuleDict(
            {
                name: nn.Identity() if len(widths) == 1 else nn.Linear(dim, signal)
                for name, dim in widths.items()
            }
        )
        token_dim = signal if len(widths) > 1 else sum(widths.values())
        channels = width * multipliers[0]
        self.first = nn.Conv2d(self.channels * fold**2, channels, kernel_size=3, padding=1)
        self.last_norm = group_norm(channels)
        self.last = zero(nn.Conv2d(channels, out_channels * fold**2, kernel_size=3, padding=1))

        down: list[nn.Module] = []
        up: list[nn.Module] = []  # from the end
        for level in levels:
            above, channels = channels, width * multipliers[level]
            block = functools.partial(
                Block, outputs=channels, signal=signal, token_dim=token_dim,
                num_heads=num_heads if level in attended else 0,
            )  # fmt: skip
            if level > 0:
                down.append(Shrink(above, channels))
                up.append(Grow(2 * channels, above))
            down += [block(channels) for _ in range(depth)]
            up += [block(2 * channels) for _ in range(depth)]
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(reversed(up))
        self.middle = nn.ModuleList([block(channels)])

    def forward(self, latents: Tensor, t: Tensor, signals: Signals | None = None) -> Tensor:
        self._check_size(*latents.shape[3:])
        signals = signals or {}
        context = self._prepare(t, signals, latents.shape[2])
        latents = self.with_channels(latents, signals)
        x = per_frame(self.first, fold(rearrange(latents, "b c f h w -> b f h w c"), self.fold))
        given = []
        for part in self.down:
            x = part(x, context)
            given.append(x)
        for part in self.middle:
            x = part(x, context)
        for part in self.up:
            x = part(torch.cat([x, given.pop()], dim=-1), context)
        x = per_frame(self.last, F.silu(per_frame(self.last_norm, x)))
        return rearrange(unfold(x, self.fold), "b f h w c -> b c f h w")

    def blocks_to_compile(self) -> list[nn.Module]:
        """Blocks with convolutions; what is between levels is one product each."""
        return [part for part in super().blocks_to_compile() if isinstance(part, Block)]

    def _prepare(self, t: Tensor, signals: Signals, num_frames: int) -> Context:
        """A vector for each frame, (b, f, signal), and the conditions' tokens."""
        places = self.places.table((num_frames, 1, 1), t.device)
        vector = self.time(t.view(len(t), -1))
        for name, to_signal in self.vectors.items():
            if name in signals:
                vector = vector + to_signal(signals[name].vectors)
        vector = vector + self.frames(places.to(self.frames.weight.dtype))
        parts = []
        for name, to_width in self.tokens.items():
            signal = signals.get(name)
            if signal is not None and signal.tokens is not None and signal.mask is not None:
                parts.append((to_width(signal.tokens), signal.mask))
        return Context(vector, *joined(parts))

    def _check_size(self, height: int, width: int) -> None:
        for axis, size in (("height", height), ("width", width)):
            if size % self.smallest or size < self.smallest:
                nearest = max(self.smallest, round(size / self.smallest) * self.smallest)
                raise ValueError(
                    f"latent {axis} {size} does not divide by {self.smallest}, the coarsest place "
                    f"of this unet; the nearest that does is {nearest}, or change fold and the "
                    "number of multipliers"
                )
