"""SiT (Ma et al. 2024), as willisma/SiT names its weights: those of DiT, with another objective."""

from __future__ import annotations

from torch import Tensor

from vidiff.building import Node
from vidiff.importers.base import node
from vidiff.importers.dit import DiTImporter


class SiTImporter(DiTImporter):
    """willisma/SiT: linear interpolant, velocity; its time runs from noise at 0 to data at 1."""

    def objective(self, learn_variance: bool) -> Node:
        return {
            "schedule": node("vidiff.diffusion.schedules.Rectified", network_times=[1.0, 0.0]),
            "prediction": node("vidiff.diffusion.predictions.Flow", towards="sample"),
            "time_sampler": node("vidiff.diffusion.time_samplers.Uniform"),
            "learn_variance": False,
            "sampler": node("vidiff.samplers.Heun", num_steps=125),
            "guidance": node("vidiff.guidance.ClassifierFree", scale=4.0, channels=3),
            "ema_decay": 0.0,
        }

    def used_rows(self, rows: Tensor, num_predicted: int) -> Tensor:
        """The second half is computed by the published code, and thrown away."""
        return rows[:num_predicted]
