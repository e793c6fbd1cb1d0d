"""No autoencoder: diffusion on pixels."""

from __future__ import annotations

from torch import Tensor

from vidiff.autoencoders.base import Autoencoder, Past
from vidiff.checks import at_least
from vidiff.registry import register


@register("identity")
class Identity(Autoencoder):
    """Latents are pixels.

    Args:
        latent_channels: 3 for pixels; another number for a model whose autoencoder is kept
            elsewhere, which takes and gives latents (``DiffusionTask.denoise``, ``sample``).
    """

    frozen = True

    def __init__(self, *, latent_channels: int = 3) -> None:
        super().__init__()
        at_least(1, latent_channels=latent_channels)
        self.latent_channels = self.pixel_channels = latent_channels

    def encode(self, pixels: Tensor) -> Tensor:
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def encode_chunk(self, pixels: Tensor, past: Past) -> Tensor:
        return pixels

    def decode_chunk(self, latents: Tensor, past: Past) -> Tensor:
        return latents
