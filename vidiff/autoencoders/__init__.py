"""Pixels to latents and back (kind ``autoencoder``)."""

from vidiff.autoencoders.base import Autoencoder, MakeAutoencoder, Posterior
from vidiff.autoencoders.causal_kl import CausalKL
from vidiff.autoencoders.identity import Identity
from vidiff.autoencoders.trained import Trained

__all__ = ["Autoencoder", "CausalKL", "Identity", "MakeAutoencoder", "Posterior", "Trained"]
