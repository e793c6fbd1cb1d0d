"""No autoencoder: diffusion on pixels."""

from __future__ import annotations

from torch import Tensor

from vidiff.autoencoders.base import Autoencoder
from vidiff.registry import register


@register("identity")
class Identity(Autoencoder):
    """Latents are pixels."""

    latent_channels = 3

    def encode(self, pixels: Tensor) -> Tensor:
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        return latents
