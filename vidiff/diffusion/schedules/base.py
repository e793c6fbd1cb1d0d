"""Noise schedule interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from vidiff.registry import kind


@kind("schedule")
class Schedule(ABC):
    """How clean video turns into noise: ``x_t = alpha(t) x_0 + sigma(t) noise``.

    Time runs from 0, clean, to 1, noise. All methods take times of any shape and keep their
    precision: float32 in training, float64 in some samplers.

    Args:
        network_times: the two numbers that the denoiser is given for clean video and for noise, not
            the same; (1, 0) are SiT's, whose time runs from noise to data.

    Attributes:
        margins: training keeps times within these two, where no derivative or ratio is infinite
            (as SiT does, Ma et al. 2024); sampling asks no model below the first.
        num_steps: number of discrete steps, evenly spaced in time; 0 if there are none.
        variance_preserving: whether ``alpha^2 + sigma^2 = 1``.
    """

    num_steps: int = 0
    margins: tuple[float, float] = (1e-3, 1 - 1e-3)
    variance_preserving: ClassVar[bool] = False

    def __init__(self, network_times: tuple[float, float] = (0.0, 1000.0)) -> None:
        if network_times[0] == network_times[1]:
            raise ValueError(
                f"network_times must differ, got {network_times[0]} for clean video and for noise"
            )
        self.network_times = network_times

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """The share of the clean video; 1 at t = 0, never rising."""

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

    def noise_ratio(self, t: Tensor) -> Tensor:
        """``sigma / alpha``, the noise level once the clean video is scaled to 1."""
        return self.sigma(t) / self.alpha(t)

    def time_at(self, noise_ratio: Tensor) -> Tensor:
        """The time at which ``sigma / alpha`` is this, at most 1; here by bisection."""
        wanted = noise_ratio.double()
        low, high = torch.zeros_like(wanted), torch.ones_like(wanted)
        for _ in range(52):
            middle = (low + high) / 2
            above = self.sigma(middle) >= wanted * self.alpha(middle)  # alpha may be zero
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return ((low + high) / 2).to(noise_ratio.dtype)

    def start_scale(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise that sampling from time ``t`` starts with."""
        return torch.ones_like(t)

    def network_time(self, t: Tensor) -> Tensor:
        """The number that the denoiser's time embedding gets: thousandths, by default."""
        clean, noise = self.network_times
        return clean + (noise - clean) * t


class MakeSchedule(Protocol):
    """A schedule with everything set."""

    def __call__(self) -> Schedule: ...
