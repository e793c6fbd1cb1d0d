"""v-prediction (Salimans & Ho 2022, appendix D)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.predictions.base import Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register


@register("velocity")
class Velocity(Prediction):
    """``alpha noise - sigma x_0``."""

    def coefficients(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        return -schedule.sigma(t), schedule.alpha(t)
