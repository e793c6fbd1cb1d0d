"""What is learned: how noise is added, what is predicted, and which errors count."""

from vidiff.diffusion.objective import Loss, Network, Objective
from vidiff.diffusion.predictions import Denoised

__all__ = ["Denoised", "Loss", "Network", "Objective"]
