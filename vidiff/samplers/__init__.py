"""From noise to latents (kind ``sampler``), and how prompts are followed (kind ``guidance``)."""

from vidiff.samplers.base import Denoise, MakeSampler, Noise, OneStepSampler, Sampler
from vidiff.samplers.ddim import DDIM
from vidiff.samplers.ddpm import DDPM
from vidiff.samplers.dpmpp_2m import DPMSolverPP2M
from vidiff.samplers.euler import Euler
from vidiff.samplers.euler_maruyama import EulerMaruyama
from vidiff.samplers.guidance import (
    Autoguidance,
    ClassifierFree,
    Guidance,
    MakeGuidance,
    Rescaled,
)
from vidiff.samplers.heun import Heun
from vidiff.samplers.unipc import UniPC

__all__ = ["DDIM", "DDPM", "Autoguidance", "ClassifierFree", "DPMSolverPP2M", "Denoise", "Euler"]
__all__ += ["EulerMaruyama", "Guidance", "Heun", "MakeGuidance", "MakeSampler", "Noise"]
__all__ += ["OneStepSampler", "Rescaled", "Sampler", "UniPC"]
