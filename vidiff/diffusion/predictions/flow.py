"""The path's own velocity (Lipman et al. 2023, eq. 14; Ma et al. 2024, SiT, eq. 5)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vidiff.diffusion.predictions.base import Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register


@register("flow")
class Flow(Prediction):
    """``d x_t / d t = alpha' x_0 + sigma' noise``; noise - x_0 on the straight path.

    Args:
        towards: the end that the velocity points to. Our time runs towards the noise; networks
            whose time runs the other way, as SiT's does, predict the velocity of opposite sign.
    """

    def __init__(self, towards: Literal["noise", "sample"] = "noise") -> None:
        if towards not in ("noise", "sample"):
            raise ValueError(f"towards must be 'noise' or 'sample', got {towards!r}")
        self.towards = towards

    def coefficients(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        sign = 1.0 if self.towards == "noise" else -1.0
        return sign * schedule.alpha_derivative(t), sign * schedule.sigma_derivative(t)
