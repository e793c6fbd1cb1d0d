"""Spacing of noise levels (EDM, Karras et al. 2022, eq. 5)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.checks import positive
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.spacing.base import Spacing


@register("karras")
class Karras(Spacing):
    """Noise levels ``sigma / alpha`` evenly spaced once raised to ``1 / rho``, then clean.

    The schedule ``edm`` needs it: its even times leave the last level far from 0.

    Args:
        rho: above 0; the higher, the closer to clean video the steps are; 7 in the paper.
        sigma_range: the last noise level before 0 and the first, which is larger, as far as the
            schedule's margins reach.
    """

    def __init__(self, rho: float = 7.0, sigma_range: tuple[float, float] = (0.002, 80.0)) -> None:
        positive(rho=rho)
        if not 0 < sigma_range[0] < sigma_range[1]:
            raise ValueError(f"sigma_range must be 0 < last < first, got {list(sigma_range)}")
        self.rho, self.sigma_range = rho, sigma_range

    def __call__(self, num_steps: int, schedule: Schedule, start: float = 1.0) -> Tensor:
        ends = schedule.noise_ratio(torch.tensor(schedule.margins, dtype=torch.float64))
        low, high = torch.tensor(self.sigma_range).double().clamp(*ends) ** (1 / self.rho)
        ramp = torch.linspace(float(high), float(low), num_steps, dtype=torch.float64)
        times = torch.cat([schedule.time_at(ramp**self.rho), ramp.new_zeros(1)])
        return times.clamp(max=start)
