"""From noise to latents (kind ``sampler``), and how prompts are followed (kind ``guidance``)."""

from vidiff.samplers.base import Denoise, MakeSampler, Noise, Sampler
from vidiff.samplers.ddim import DDIM
from vidiff.samplers.euler import Euler
from vidiff.samplers.guidance import ClassifierFree, Guidance, MakeGuidance

__all__ = ["DDIM", "ClassifierFree", "Denoise", "Euler", "Guidance", "MakeGuidance"]
__all__ += ["MakeSampler", "Noise", "Sampler"]
