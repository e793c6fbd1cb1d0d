"""Training with Lightning: tasks, data, callbacks, checkpoints."""

from vidiff.training.autoencoder import AutoencoderTask
from vidiff.training.base import Task
from vidiff.training.diffusion import DiffusionTask

__all__ = ["AutoencoderTask", "DiffusionTask", "Task"]
