"""What a loss weight promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor

from vidiff.diffusion.predictions import Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import kind


@kind("loss_weight")
class LossWeight(ABC):
    """How much each time's squared error counts."""

    @abstractmethod
    def __call__(self, schedule: Schedule, prediction: Prediction, t: Tensor) -> Tensor:
        """Weights (b,) on the squared error of what the network predicts."""


class MakeLossWeight(Protocol):
    """A loss weight with everything set."""

    def __call__(self) -> LossWeight: ...
