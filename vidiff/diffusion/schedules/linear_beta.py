"""Linear betas (DDPM, Ho et al. 2020, section 4), continued between the discrete steps."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.schedules.base import Schedule
from vidiff.registry import register


@register("linear_beta")
class LinearBeta(Schedule):
    """Variance-preserving, with ``num_steps`` betas on a straight line.

    Step i of DDPM (0 to ``num_steps - 1``) is t = (i + 1) / ``num_steps``, where alpha is exactly
    the square root of the product of (1 - beta) up to i; its logarithm is linear in between. The
    denoiser is given i.

    Args:
        num_steps: number of discrete steps.
        beta_start: the first beta, above 0.
        beta_end: the last beta, no less and below 1.
    """

    variance_preserving = True

    def __init__(
        self, num_steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02
    ) -> None:
        if not 0 < beta_start <= beta_end < 1 or num_steps < 1:
            raise ValueError(
                "linear_beta needs num_steps >= 1 and 0 < beta_start <= beta_end < 1, got "
                f"num_steps={num_steps}, beta_start={beta_start}, beta_end={beta_end}"
            )
        super().__init__(network_times=(-1.0, num_steps - 1.0))
        self.num_steps = num_steps
        self.margins = (1 / num_steps, 1.0)
        betas = torch.linspace(beta_start, beta_end, num_steps, dtype=torch.float64)
        log_alpha = 0.5 * torch.log1p(-betas).cumsum(0)
        self.log_alphas = torch.cat([torch.zeros(1, dtype=torch.float64), log_alpha])

    def alpha(self, t: Tensor) -> Tensor:
        return self._log_alpha(t).exp().to(t.dtype)

    def sigma(self, t: Tensor) -> Tensor:
        return (-torch.expm1(2 * self._log_alpha(t))).sqrt().to(t.dtype)

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return self.alpha(t) * self._slope(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        t = t.clamp(min=self.margins[0])  # it has no limit at t = 0
        # alpha^2 + sigma^2 = 1, so sigma sigma' = -alpha alpha'
        return -self.alpha(t).square() * self._slope(t) / self.sigma(t)

    def time_at(self, noise_ratio: Tensor) -> Tensor:
        table = self.log_alphas.to(noise_ratio.device)
        log_alpha = -0.5 * torch.log1p(noise_ratio.double().square())
        left = torch.searchsorted(-table, -log_alpha, right=True) - 1
        left = left.clamp(0, self.num_steps - 1)
        place = left + (log_alpha - table[left]) / (table[left + 1] - table[left])
        return (place / self.num_steps).clamp(0, 1).to(noise_ratio.dtype)

    def _log_alpha(self, t: Tensor) -> Tensor:
        table = self.log_alphas.to(t.device)
        place = t.double() * self.num_steps
        left = place.floor().long().clamp(0, self.num_steps - 1)
        return table[left] + (place - left) * (table[left + 1] - table[left])

    def _slope(self, t: Tensor) -> Tensor:
        table = self.log_alphas.to(t.device)
        left = (t.double() * self.num_steps).floor().long().clamp(0, self.num_steps - 1)
        return ((table[left + 1] - table[left]) * self.num_steps).to(t.dtype)
