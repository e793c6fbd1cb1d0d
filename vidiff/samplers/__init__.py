"""From noise to latents (kind ``sampler``)."""

from vidiff.samplers.base import Denoise, MakeSampler, Noise, Sampler
from vidiff.samplers.ddim import DDIM
from vidiff.samplers.ddpm import DDPM
from vidiff.samplers.dpmpp_2m import DPMSolverPP2M
from vidiff.samplers.euler import Euler
from vidiff.samplers.euler_maruyama import EulerMaruyama
from vidiff.samplers.heun import Heun
from vidiff.samplers.unipc import UniPC

__all__ = [
    "DDIM",
    "DDPM",
    "DPMSolverPP2M",
    "Denoise",
    "Euler",
    "EulerMaruyama",
    "Heun",
    "MakeSampler",
    "Noise",
    "Sampler",
    "UniPC",
]
