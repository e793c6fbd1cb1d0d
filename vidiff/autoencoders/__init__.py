"""Pixels to latents and back (kind ``autoencoder``)."""

from vidiff.autoencoders.base import Autoencoder, MakeAutoencoder, Posterior
from vidiff.autoencoders.causal_kl import CausalKL
from vidiff.autoencoders.framewise_kl import FramewiseKL
from vidiff.autoencoders.identity import Identity
from vidiff.autoencoders.trained import Trained
from vidiff.autoencoders.variational import Variational

__all__ = [
    "Autoencoder",
    "CausalKL",
    "FramewiseKL",
    "Identity",
    "MakeAutoencoder",
    "Posterior",
    "Trained",
    "Variational",
]
