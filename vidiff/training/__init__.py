"""Training with Lightning: tasks, data, callbacks, checkpoints."""

from vidiff.training.autoencoder.task import AutoencoderTask
from vidiff.training.diffusion.task import DiffusionTask
from vidiff.training.task import Task

__all__ = ["AutoencoderTask", "DiffusionTask", "Task"]
