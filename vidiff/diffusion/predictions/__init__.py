"""What the network predicts (kind ``prediction``)."""

from vidiff.diffusion.predictions.base import Denoised, MakePrediction, Prediction, expand
from vidiff.diffusion.predictions.epsilon import Epsilon
from vidiff.diffusion.predictions.flow import Flow
from vidiff.diffusion.predictions.sample import Sample
from vidiff.diffusion.predictions.velocity import Velocity

__all__ = [
    "Denoised",
    "Epsilon",
    "Flow",
    "MakePrediction",
    "Prediction",
    "Sample",
    "Velocity",
    "expand",
]
