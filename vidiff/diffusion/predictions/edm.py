"""Preconditioned prediction (EDM, Karras et al. 2022, section 5 and table 1)."""

from __future__ import annotations

from torch import Tensor

from vidiff.checks import positive
from vidiff.diffusion.predictions.base import Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register


@register("edm")
class EDM(Prediction):
    """EDM preconditioning: the network F has inputs and targets of unit variance.

    The clean latents are ``c_skip x + c_out F(c_in x)`` for ``x = x_0 + s noise``, with ``c_skip =
    d^2 / (s^2 + d^2)``, ``c_out = s d / sqrt(s^2 + d^2)`` and ``c_in = 1 / sqrt(s^2 + d^2)``. On
    any schedule x is ``x_t / alpha`` and s is ``sigma / alpha``. Solved for F, alpha cancels:
    ``F = (sigma / d x_0 - alpha d noise) / S``, where ``S^2 = sigma^2 + alpha^2 d^2`` is the
    variance of x_t; the network sees ``x_t / S``.

    An unweighted error of F is the paper's loss, whose weight is ``1 / c_out^2``.

    Args:
        sigma_data: standard deviation d of the clean latents, above 0.
    """

    def __init__(self, sigma_data: float = 0.5) -> None:
        positive(sigma_data=sigma_data)
        self.sigma_data = sigma_data

    def input_scale(self, schedule: Schedule, t: Tensor) -> Tensor:
        variance = schedule.sigma(t).square() + (schedule.alpha(t) * self.sigma_data).square()
        return variance.rsqrt()

    def coefficients(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.input_scale(schedule, t)
        p = schedule.sigma(t) / self.sigma_data * scale
        return p, -schedule.alpha(t) * self.sigma_data * scale
