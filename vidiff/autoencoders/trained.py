"""An autoencoder that an earlier run trained."""

from __future__ import annotations

from torch import Tensor, nn

from vidiff.autoencoders.base import Autoencoder, Past, Posterior
from vidiff.checkpoints import part_weights, read_checkpoint, task_node
from vidiff.config_nodes import Node, build
from vidiff.registry import register


@register("trained")
class Trained(Autoencoder):
    """Reads the autoencoder of an ``AutoencoderTask``'s checkpoint, and leaves it as it is.

    Args:
        checkpoint: path of the checkpoint; its averaged weights are taken where it has any.
    """

    frozen = True

    def __init__(self, *, checkpoint: str) -> None:
        super().__init__()
        saved = read_checkpoint(checkpoint)
        arguments = task_node(saved)["init_args"]
        weights = part_weights(saved, "autoencoder")
        if "autoencoder" not in arguments or not weights:
            raise ValueError(f"{checkpoint} holds no autoencoder: it is not an AutoencoderTask's")
        node: Node = arguments["autoencoder"]
        self.inner = build(node, Autoencoder)  # type: ignore[type-abstract]
        self.inner.node = node
        self.inner.load_state_dict(weights)
        self.latent_channels = self.inner.latent_channels
        self.compression = self.inner.compression
        self.requires_grad_(False).eval()

    def encode(self, pixels: Tensor) -> Tensor:
        return self.inner.encode(pixels)

    def decode(self, latents: Tensor) -> Tensor:
        return self.inner.decode(latents)

    def encode_chunk(self, pixels: Tensor, past: Past) -> Tensor:
        return self.inner.encode_chunk(pixels, past)

    def decode_chunk(self, latents: Tensor, past: Past) -> Tensor:
        return self.inner.decode_chunk(latents, past)

    def posterior(self, pixels: Tensor) -> Posterior:
        return self.inner.posterior(pixels)

    def reconstruct(self, latents: Tensor) -> Tensor:
        return self.inner.reconstruct(latents)

    def last_layer(self) -> nn.Parameter:
        return self.inner.last_layer()
