"""A causal 3-D variational autoencoder (as in MAGVIT-v2, Yu et al. 2024, and CogVideoX)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from vidiff.autoencoders.base import Past
from vidiff.autoencoders.causal import (
    CausalDecoder,
    CausalEncoder,
    compression_of,
    plan_stages,
)
from vidiff.autoencoders.learned import Variational
from vidiff.registry import register


@register("causal_kl")
class CausalKL(Variational):
    """Folds and causal convolutions, to a Gaussian over latents and back.

    A latent frame depends on its own and on earlier pixels only; the first frame stands alone.

    Args:
        latent_channels: channels of the latents.
        folds: how much each stage folds along frames, height and width; the compression is their
            product. ``[[2, 4, 4]]``, by default.
        width: channels of each stage's convolutions, one number per fold; 128, by default.
        depth: blocks of each stage of the encoder, one number for all stages or one per fold.
        decoder_depth: the same for the decoder, which has more to do; by default the encoder's.
        block: ``residual`` (two full convolutions) or ``depthwise`` (ConvNeXt's block, a sixth of
            the multiply-adds).

    Raises:
        ValueError: if ``folds``, ``width`` and the depths differ in length, or a number is
            below 1.
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
        self.compression = compression_of(stages)
        self.encoder = CausalEncoder(stages, 2 * latent_channels)
        self.decoder = CausalDecoder(stages, latent_channels)

    def moments(self, pixels: Tensor, past: Past | None = None) -> Tensor:
        return self.encoder(pixels, past)

    def reconstruct(self, latents: Tensor, past: Past | None = None) -> Tensor:
        return self.decoder(latents, past)

    def last_layer(self) -> nn.Parameter:
        return self.decoder.last_weight
