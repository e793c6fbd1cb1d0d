"""What the network predicts (kind ``prediction``)."""

from vidiff.diffusion.predictions.base import Denoised, MakePrediction, Prediction, expand
from vidiff.diffusion.predictions.edm import EDM
from vidiff.diffusion.predictions.epsilon import Epsilon
from vidiff.diffusion.predictions.flow import Flow
from vidiff.diffusion.predictions.sample import Sample
from vidiff.diffusion.predictions.score import Score
from vidiff.diffusion.predictions.velocity import Velocity

__all__ = [
    "EDM",
    "Denoised",
    "Epsilon",
    "Flow",
    "MakePrediction",
    "Prediction",
    "Sample",
    "Score",
    "Velocity",
    "expand",
]
