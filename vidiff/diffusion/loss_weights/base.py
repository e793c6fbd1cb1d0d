"""Loss weight interface."""

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
        """Weights of the prediction's squared error, in the shape of t: (b,) or (b, f)."""


class MakeLossWeight(Protocol):
    """A loss weight with everything set."""

    def __call__(self) -> LossWeight: ...
