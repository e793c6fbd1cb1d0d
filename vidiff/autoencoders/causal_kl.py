"""A causal 3-D variational autoencoder (as in MAGVIT-v2, Yu et al. 2024, and CogVideoX)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vidiff.autoencoders.base import Past
from vidiff.autoencoders.causal import Causal, plan_stages
from vidiff.autoencoders.learned import Variational
from vidiff.registry import register


@register("causal_kl")
class CausalKL(Causal, Variational):
    """Folds and causal convolutions, to a Gaussian over latents and back.

    A latent frame depends only on its own and on earlier pixels, the first frame on itself.
    """

    def __init__(
        self,
        *,
        latent_channels: int = 8,
        folds: list[tuple[int, int, int]] | None = None,
        width: list[int] | None = None,
        depth: int | list[int] = 2,
        decoder_depth: int | list[int] | None = None,
        block: Literal["residual", "depthwise"] = "residual",
    ) -> None:
        super().__init__(latent_channels)
        stages = plan_stages(folds, width, depth, decoder_depth, block)
        self.make_halves(stages, 2 * latent_channels)

    def moments(self, pixels: Tensor, past: Past | None = None) -> Tensor:
        return self.encoder(pixels, past)
