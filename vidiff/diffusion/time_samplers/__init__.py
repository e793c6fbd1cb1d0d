"""Which diffusion times are trained on (kind ``time_sampler``)."""

from vidiff.diffusion.time_samplers.base import MakeTimeSampler, TimeSampler, shifted
from vidiff.diffusion.time_samplers.log_normal import LogNormal
from vidiff.diffusion.time_samplers.logit_normal import LogitNormal
from vidiff.diffusion.time_samplers.per_frame import PerFrame
from vidiff.diffusion.time_samplers.uniform import Uniform

__all__ = [
    "LogNormal",
    "LogitNormal",
    "MakeTimeSampler",
    "PerFrame",
    "TimeSampler",
    "Uniform",
    "shifted",
]
