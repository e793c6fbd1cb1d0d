"""Spacing interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor

from vidiff.diffusion.schedules import Schedule
from vidiff.registry import kind


@kind("spacing")
class Spacing(ABC):
    """The times of a sampler's steps."""

    @abstractmethod
    def __call__(self, num_steps: int, schedule: Schedule, start: float = 1.0) -> Tensor:
        """Falling from ``start`` at most to 0: (num_steps + 1,), in float64 and on the CPU.

        So are the coefficients of each step, which are numbers, few, and differences of near
        equals; the latents keep their precision and device.
        """


class MakeSpacing(Protocol):
    """A spacing with everything set."""

    def __call__(self) -> Spacing: ...
