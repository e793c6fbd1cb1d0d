"""Noise on top of unscaled video (EDM, Karras et al. 2022, table 1; variance-exploding)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.schedules.base import Schedule
from vidiff.registry import register


@register("edm")
class EDM(Schedule):
    """``x_t = x_0 + sigma noise``, where ``sigma = sigma_max t``.

    The denoiser is given ``ln(sigma) / 4``. The rest of EDM is a time sampler (``log_normal``), a
    spacing (``karras``) and a prediction (``edm``).

    Args:
        sigma_min: noise level below which the network is not asked; above 0.
        sigma_max: noise level at t = 1; above ``sigma_min``.
        time_scale: factor of the number that the denoiser is given, not 0; 1 in the paper.
    """

    def __init__(
        self, sigma_min: float = 0.002, sigma_max: float = 80.0, time_scale: float = 1.0
    ) -> None:
        if not 0 < sigma_min < sigma_max:
            raise ValueError(
                "edm needs 0 < sigma_min < sigma_max, got "
                f"sigma_min={sigma_min}, sigma_max={sigma_max}"
            )
        if time_scale == 0:
            raise ValueError("time_scale must not be 0: the denoiser could not tell times apart")
        super().__init__()
        self.sigma_min, self.sigma_max, self.time_scale = sigma_min, sigma_max, time_scale
        self.margins = (sigma_min / sigma_max, 1.0)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_max * t

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        return torch.full_like(t, self.sigma_max)

    def time_at(self, noise_ratio: Tensor) -> Tensor:
        return (noise_ratio / self.sigma_max).clamp(max=1)

    def start_scale(self, t: Tensor) -> Tensor:
        return self.sigma(t)

    def network_time(self, t: Tensor) -> Tensor:
        return self.time_scale * self.sigma(t).clamp(min=self.sigma_min).log() / 4
