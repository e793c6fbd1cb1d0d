"""Likelihood weighting (Song et al. 2021, "Maximum likelihood training", theorem 1; SiT)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.loss_weights.base import LossWeight
from vidiff.diffusion.predictions import Prediction
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register


@register("likelihood")
class Likelihood(LossWeight):
    """The weight under which the loss bounds the negative log-likelihood.

    ``g^2 / (2 sigma^2)`` on the squared error of the noise, where ``g^2 / 2 = sigma sigma' -
    sigma^2 alpha' / alpha`` and g is the diffusion coefficient of the process that adds the noise:
    what Ma et al. 2024 call likelihood weighting. The same weight on the clean latents is
    ``-snr' / 2`` (Kingma et al. 2021, section 4), which has no division by alpha; whatever is
    predicted, it is brought to that prediction's error. It grows without limit at the ends.
    """

    def __call__(self, schedule: Schedule, prediction: Prediction, t: Tensor) -> Tensor:
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        slope = alpha * schedule.sigma_derivative(t) - schedule.alpha_derivative(t) * sigma
        on_sample = alpha * slope / sigma**3
        return on_sample / prediction.error_scale(schedule, t).square()
