"""The network that is trained to denoise (kind ``denoiser``)."""

from vidiff.denoisers.base import Denoiser, MakeDenoiser
from vidiff.denoisers.dit import DiT

__all__ = ["Denoiser", "DiT", "MakeDenoiser"]
