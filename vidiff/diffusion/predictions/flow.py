"""The path's own velocity (Lipman et al. 2023, eq. 14; Ma et al. 2024, SiT, eq. 5)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.predictions.base import Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register


@register("flow")
class Flow(Prediction):
    """``d x_t / d t = alpha' x_0 + sigma' noise``; noise - x_0 on the straight path."""

    def coefficients(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        return schedule.alpha_derivative(t), schedule.sigma_derivative(t)
