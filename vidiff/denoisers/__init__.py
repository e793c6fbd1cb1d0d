"""The network that is trained to denoise (kind ``denoiser``)."""

from vidiff.denoisers.base import Denoiser, MakeDenoiser
from vidiff.denoisers.compiling import compile_blocks
from vidiff.denoisers.dit import DiT
from vidiff.denoisers.unet import UNet

__all__ = ["Denoiser", "DiT", "MakeDenoiser", "UNet", "compile_blocks"]
