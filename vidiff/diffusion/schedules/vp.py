"""The continuous variance-preserving process (Song et al. 2021, appendix C, eq. 33)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.schedules.base import Schedule
from vidiff.registry import register


@register("vp")
class VP(Schedule):
    """Noise is added at the rate ``beta(t)``, a straight line: the limit of DDPM's many steps.

    ``log alpha = -t^2 (beta_max - beta_min) / 4 - t beta_min / 2``, and ``alpha^2 + sigma^2 = 1``;
    SiT's interpolant VP (Ma et al. 2024). Towards t = 0 the derivative of sigma grows without
    limit; below the first margin it stays what it is there.

    Args:
        beta_min: the rate at t = 0; above 0.
        beta_max: the rate at t = 1; no less.
    """

    margins = (1e-3, 1.0)
    variance_preserving = True

    def __init__(
        self,
        beta_min: float = 0.1,
        beta_max: float = 20.0,
        network_times: tuple[float, float] = (0.0, 1000.0),
    ) -> None:
        super().__init__(network_times)
        if not 0 < beta_min <= beta_max:
            raise ValueError(
                f"vp needs 0 < beta_min <= beta_max, got beta_min={beta_min}, beta_max={beta_max}"
            )
        self.beta_min, self.beta_max = beta_min, beta_max

    def alpha(self, t: Tensor) -> Tensor:
        return self._log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        return (-torch.expm1(2 * self._log_alpha(t))).sqrt()

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return -self._beta(t) / 2 * self.alpha(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        t = t.clamp(min=self.margins[0])
        # alpha^2 + sigma^2 = 1, so sigma sigma' = -alpha alpha'
        return self._beta(t) / 2 * self.alpha(t).square() / self.sigma(t)

    def time_at(self, noise_ratio: Tensor) -> Tensor:
        log_alpha = -0.5 * torch.log1p(noise_ratio.square())
        log_alpha = log_alpha.clamp(min=-(self.beta_max + self.beta_min) / 4)  # that of t = 1
        # The positive root of log alpha's parabola, without a difference of near equals.
        half = self.beta_min / 2
        root = (half**2 - (self.beta_max - self.beta_min) * log_alpha).sqrt()
        return -2 * log_alpha / (half + root)

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def _log_alpha(self, t: Tensor) -> Tensor:
        return -(t.square() * (self.beta_max - self.beta_min) / 4 + t * self.beta_min / 2)
