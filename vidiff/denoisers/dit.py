"""The diffusion transformer (DiT, Peebles & Xie 2023), over spacetime patches of video."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from vidiff.attention import Full, MakeAttention
from vidiff.checks import among_heads, at_least
from vidiff.conditioning import AdaLNZero, MakeConditioning
from vidiff.config_nodes import made
from vidiff.denoisers.base import Denoiser, merge_frames, merge_signals
from vidiff.denoisers.time import TimeEmbedding
from vidiff.layers import Linear
from vidiff.patchifiers import MakePatchifier, Tubelet
from vidiff.positions import Layout, MakePositions, SinCos
from vidiff.registry import register
from vidiff.types import SignalDims, Signals

SIZES = {"S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}
"""Width, depth and heads (Peebles & Xie 2023, table 1)."""


@register("dit")
class DiT(Denoiser):
    """Patchify, add positions, transformer blocks under time and conditions, unpatchify.

    Args:
        size: the paper's S, B, L or XL, in the place of width, depth and num_heads.
        width: width of a token; that of S, by default.
        depth: number of blocks; that of S, by default.
        num_heads: attention heads of each block; those of S, by default.
        mlp_ratio: hidden width of a block's MLP, over ``width``.
        patchifier: latents to tokens and back.
        positions: where tokens stand.
        attention: which tokens see which.
        conditioning: how time and conditions reach the tokens.

    Raises:
        ValueError: if ``depth`` is below 1, the width does not divide among the heads, or there is
            a size as well as one of the three.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        signals: Mapping[str, SignalDims] | None = None,
        size: Literal["S", "B", "L", "XL"] | None = None,
        width: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: float = 4.0,
        patchifier: MakePatchifier = Tubelet,
        positions: MakePositions = SinCos,  # type: ignore[assignment]  # names what it needs
        attention: MakeAttention = Full,
        conditioning: MakeConditioning = AdaLNZero,
    ) -> None:
        super().__init__(in_channels=in_channels, out_channels=out_channels, signals=signals)
        width, depth, num_heads = dimensions(size, width, depth, num_heads)
        at_least(1, depth=depth)
        among_heads(num_heads, width=width)
        self.patchifier = made(
            patchifier, in_channels=self.channels, out_channels=out_channels, width=width
        )
        self.positions = made(positions, width=width, num_heads=num_heads)
        self.positions.check_depth(depth)
        self.time = TimeEmbedding(width)
        self.conditioning = made(
            conditioning, width=width, num_heads=num_heads, signals=self.signals
        )
        self.blocks = nn.ModuleList(
            self.conditioning.make_block(
                made(attention, width=width, num_heads=num_heads, block=block, num_blocks=depth),
                nn.Sequential(
                    Linear(width, int(width * mlp_ratio)),
                    nn.GELU(approximate="tanh"),
                    Linear(int(width * mlp_ratio), width),
                ),
            )
            for block in range(depth)
        )
        self.last_norm = self.conditioning.make_last_norm()

    def forward(self, latents: Tensor, t: Tensor, signals: Signals | None = None) -> Tensor:
        _, _, f, h, w = latents.shape
        grid = self.patchifier.grid(f, h, w)
        layout = Layout(grid, self.positions.rotary(grid, latents.device))
        signals = signals or {}
        time = merge_frames(self.time(t.view(len(t), -1)), grid[0])
        context = self.conditioning.prepare(time, merge_signals(signals, grid[0]))
        embedded = self.patchifier.embed(self.with_channels(latents, signals))
        tokens = self.positions.add(embedded, grid)
        tokens = self.conditioning.enter(tokens, context)
        for number, block in enumerate(self.blocks):
            tokens = self.positions.add_before_block(number, tokens, grid)
            tokens = block(tokens, context, layout)
        tokens = self.conditioning.leave(tokens, context)
        return self.patchifier.unembed(self.last_norm(tokens, context), grid)

    def video_tokens(self, output: Tensor, given: tuple[Any, ...]) -> Tensor:
        """Without the tokens that conditioning puts first."""
        layout = next(argument for argument in given if isinstance(argument, Layout))
        return output[:, -math.prod(layout.grid) :]


def dimensions(
    size: str | None, width: int | None, depth: int | None, num_heads: int | None
) -> tuple[int, int, int]:
    """Width, depth and heads: a size's, or those given and else those of S."""
    if size is not None and (width, depth, num_heads) != (None, None, None):
        raise ValueError(
            f"size {size} stands for width, depth and num_heads, but got width={width}, "
            f"depth={depth}, num_heads={num_heads}: leave size or all of these out"
        )
    pairs = zip(SIZES[size or "S"], (width, depth, num_heads), strict=True)
    width, depth, num_heads = (usual if given is None else given for usual, given in pairs)
    return width, depth, num_heads
