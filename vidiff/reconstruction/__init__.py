"""How good reconstructions are (kind ``reconstruction_metric``)."""

from vidiff.reconstruction.base import (
    MakeReconstructionMetric,
    Reconstruction,
    ReconstructionMetric,
    Sums,
    VideoScore,
    widest,
)
from vidiff.reconstruction.codebook import Codebook
from vidiff.reconstruction.flicker import Flicker
from vidiff.reconstruction.latents import Latents
from vidiff.reconstruction.lpips import PerceptualDistance
from vidiff.reconstruction.psnr import PSNR
from vidiff.reconstruction.ssim import SSIM

__all__ = [
    "PSNR",
    "SSIM",
    "Codebook",
    "Flicker",
    "Latents",
    "MakeReconstructionMetric",
    "PerceptualDistance",
    "Reconstruction",
    "ReconstructionMetric",
    "Sums",
    "VideoScore",
    "widest",
]
