"""Training of diffusion models."""

from vidiff.training.diffusion.task import DiffusionTask

__all__ = ["DiffusionTask"]
