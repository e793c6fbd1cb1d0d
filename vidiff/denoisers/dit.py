"""The diffusion transformer (DiT, Peebles & Xie 2023), over spacetime patches of video.

Every part of it is handed in: how latents become tokens, where tokens stand, which tokens see
which, and how time and text reach them.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from vidiff.attention import Full, MakeAttention
from vidiff.checks import at_least
from vidiff.conditioning import AdaLNZero, MakeConditioning
from vidiff.conditioning.adaln_zero import ZeroLinear
from vidiff.denoisers.base import Denoiser
from vidiff.denoisers.time import TimeEmbedding
from vidiff.patchifiers import MakePatchifier, Tubelet
from vidiff.positions import Layout, MakePositions, SinCos
from vidiff.registry import register
from vidiff.types import TextFeatures

SIZES = {"S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}
"""Width, depth and heads (Peebles & Xie 2023, table 1)."""


@register("dit")
class DiT(Denoiser):
    """Patchify, add positions, transformer blocks under a condition, unpatchify.

    Args:
        in_channels: channels of the latents.
        out_channels: channels to predict.
        text_dim: width of the text features; 0 for a model without text.
        size: the paper's S, B, L or XL, in the place of width, depth and heads.
        width: width of a token; that of S, by default.
        depth: number of blocks; that of S, by default.
        num_heads: attention heads of each block; those of S, by default.
        mlp_ratio: hidden width of a block's MLP, over ``width``.
        patchifier: latents to tokens and back.
        positions: where tokens stand.
        attention: which tokens see which.
        conditioning: how time and text reach the tokens.

    Raises:
        ValueError: if ``depth`` is below 1, the width does not divide among the heads, or there is
            a size as well as one of the three that it stands for.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        text_dim: int,
        size: Literal["S", "B", "L", "XL"] | None = None,
        width: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mlp_ratio: float = 4.0,
        patchifier: MakePatchifier = Tubelet,
        positions: MakePositions = SinCos,
        attention: MakeAttention = Full,
        conditioning: MakeConditioning = AdaLNZero,
    ) -> None:
        super().__init__()
        width, depth, num_heads = dimensions(size, width, depth, num_heads)
        at_least(1, width=width, depth=depth, num_heads=num_heads)
        if width % num_heads:
            raise ValueError(f"width {width} does not divide among num_heads {num_heads}")
        self.patchifier = patchifier(
            in_channels=in_channels, out_channels=out_channels, width=width
        )
        self.positions = positions(width=width, num_heads=num_heads)
        self.positions.check_depth(depth)
        self.time = TimeEmbedding(width)
        self.conditioning = conditioning(width=width, num_heads=num_heads, text_dim=text_dim)
        self.blocks = nn.ModuleList(
            self.conditioning.make_block(
                attention(width=width, num_heads=num_heads, block=block, num_blocks=depth),
                nn.Sequential(
                    nn.Linear(width, int(width * mlp_ratio)),
                    nn.GELU(approximate="tanh"),
                    nn.Linear(int(width * mlp_ratio), width),
                ),
            )
            for block in range(depth)
        )
        self.last_norm = self.conditioning.make_last_norm()
        self._initialise_blocks()

    def _initialise_blocks(self) -> None:
        """Xavier for the blocks' linear maps, as in DiT; those that start at zero stay so."""
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear) and not isinstance(module, ZeroLinear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, latents: Tensor, t: Tensor, text: TextFeatures | None = None) -> Tensor:
        _, _, f, h, w = latents.shape
        grid = self.patchifier.grid(f, h, w)
        layout = Layout(grid, self.positions.rotary(grid, latents.device))
        condition = self.conditioning.prepare(self.time(t), text)
        tokens = self.positions.add(self.patchifier.embed(latents), grid)
        tokens = self.conditioning.enter(tokens, condition)
        for number, block in enumerate(self.blocks):
            tokens = self.positions.add_before_block(number, tokens, grid)
            tokens = block(tokens, condition, layout)
        tokens = self.conditioning.leave(tokens, condition)
        return self.patchifier.unembed(self.last_norm(tokens, condition), grid)


def dimensions(
    size: str | None, width: int | None, depth: int | None, num_heads: int | None
) -> tuple[int, int, int]:
    """Width, depth and heads: a size's, or those given and else those of S.

    Raises:
        ValueError: if there is a size as well as one of the three.
    """
    if size is not None and (width, depth, num_heads) != (None, None, None):
        raise ValueError(
            f"size {size} stands for width, depth and num_heads, but got width={width}, "
            f"depth={depth}, num_heads={num_heads}: leave size or all of these out"
        )
    published = SIZES[size or "S"]
    return (
        published[0] if width is None else width,
        published[1] if depth is None else depth,
        published[2] if num_heads is None else num_heads,
    )
