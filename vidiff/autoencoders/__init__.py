"""Pixels to latents and back (kind ``autoencoder``)."""

from vidiff.autoencoders.base import Autoencoder, Gaussian, MakeAutoencoder, Past, Posterior
from vidiff.autoencoders.causal_kl import CausalKL
from vidiff.autoencoders.framewise_kl import FramewiseKL
from vidiff.autoencoders.fsq import FSQ, Codes
from vidiff.autoencoders.identity import Identity
from vidiff.autoencoders.learned import Learned, Variational
from vidiff.autoencoders.pretrained import Pretrained
from vidiff.autoencoders.tiling import decode_in_parts, decode_tiled, in_chunks, seam_error
from vidiff.autoencoders.trained import Trained

__all__ = [
    "FSQ",
    "Autoencoder",
    "CausalKL",
    "Codes",
    "FramewiseKL",
    "Gaussian",
    "Identity",
    "Learned",
    "MakeAutoencoder",
    "Past",
    "Posterior",
    "Pretrained",
    "Trained",
    "Variational",
    "decode_in_parts",
    "decode_tiled",
    "in_chunks",
    "seam_error",
]
