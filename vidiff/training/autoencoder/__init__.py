"""Training of autoencoders."""

from vidiff.training.autoencoder.task import AutoencoderTask

__all__ = ["AutoencoderTask"]
