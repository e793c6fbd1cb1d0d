"""What a noise schedule promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor

from vidiff.registry import kind


@kind("schedule")
class Schedule(ABC):
    """How clean video turns into noise: ``x_t = alpha(t) x_0 + sigma(t) noise``.

    Time runs from 0, clean, to 1, noise. All methods take and return float32 of any shape.
    """

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """The share of the clean video; 1 at t = 0, falling."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """The share of the noise; 0 at t = 0, rising."""

    @abstractmethod
    def alpha_derivative(self, t: Tensor) -> Tensor:
        """``d alpha / d t``."""

    @abstractmethod
    def sigma_derivative(self, t: Tensor) -> Tensor:
        """``d sigma / d t``."""

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio ``alpha^2 / sigma^2`` (Kingma et al. 2021, eq. 2)."""
        return (self.alpha(t) / self.sigma(t)).square()

    def network_time(self, t: Tensor) -> Tensor:
        """The number that the denoiser's time embedding gets: thousandths, by default."""
        return 1000 * t


class MakeSchedule(Protocol):
    """A schedule with everything set."""

    def __call__(self) -> Schedule: ...
