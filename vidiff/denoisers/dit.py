"""The diffusion transformer (DiT, Peebles & Xie 2023), over spacetime patches of video.

Every part of it is handed in: how latents become tokens, where tokens stand, which tokens see
which, and how time and text reach them.
"""

from __future__ import annotations

from torch import Tensor, nn

from vidiff.attention import Full, MakeAttention
from vidiff.conditioning import AdaLNZero, MakeConditioning
from vidiff.conditioning.adaln_zero import ZeroLinear
from vidiff.denoisers.base import Denoiser
from vidiff.denoisers.time import TimeEmbedding
from vidiff.patchifiers import MakePatchifier, Tubelet
from vidiff.positions import Layout, MakePositions, SinCos
from vidiff.registry import register
from vidiff.types import TextFeatures


@register("dit")
class DiT(Denoiser):
    """Patchify, add positions, transformer blocks under a condition, unpatchify.

    Args:
        in_channels: channels of the latents.
        out_channels: channels to predict.
        text_dim: width of the text features; 0 for a model without text.
        width: width of a token.
        depth: number of blocks.
        num_heads: attention heads of each block.
        mlp_ratio: hidden width of a block's MLP, over ``width``.
        patchifier: latents to tokens and back.
        positions: where tokens stand.
        attention: which tokens see which.
        conditioning: how time and text reach the tokens.

    Raises:
        ValueError: if ``depth`` is below 1 or the width does not divide among the heads.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        text_dim: int,
        width: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        patchifier: MakePatchifier = Tubelet,
        positions: MakePositions = SinCos,
        attention: MakeAttention = Full,
        conditioning: MakeConditioning = AdaLNZero,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        if num_heads < 1 or width % num_heads:
            raise ValueError(f"width {width} does not divide among num_heads {num_heads}")
        self.patchifier = patchifier(
            in_channels=in_channels, out_channels=out_channels, width=width
        )
        self.positions = positions(width=width, num_heads=num_heads)
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
        for block in self.blocks:
            tokens = block(tokens, condition, layout)
        tokens = self.conditioning.leave(tokens, condition)
        return self.patchifier.unembed(self.last_norm(tokens, condition), grid)
