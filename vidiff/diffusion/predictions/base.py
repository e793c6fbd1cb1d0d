"""Prediction interface, and the conversion of predictions to x0 and noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from vidiff.diffusion.schedules import Schedule
from vidiff.registry import kind


@dataclass
class Denoised:
    """Estimates of both ends of the path through ``x_t``, clean latents and noise: (b, c, f, h, w).

    A network that learns its variance predicts it too, see ``vidiff.diffusion.variance``.
    """

    x0: Tensor
    noise: Tensor
    variance: Tensor | None = None


@kind("prediction")
class Prediction(ABC):
    """What the network predicts: a mixture of the clean latents and the noise.

    With ``y = p(t) x_0 + q(t) noise`` and ``x_t = alpha x_0 + sigma noise``, two equations give
    both unknowns; a prediction is its two coefficients.
    """

    def input_scale(self, schedule: Schedule, t: Tensor) -> Tensor | None:
        """Factor of x_t at the network's input, in the shape of t; None leaves it as it is."""
        return None

    @abstractmethod
    def coefficients(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        """``p(t)`` and ``q(t)``, in the shape of t."""

    def target(self, x0: Tensor, noise: Tensor, schedule: Schedule, t: Tensor) -> Tensor:
        """The network's target; all (b, c, f, h, w) but t, (b,) or (b, f)."""
        p, q = (expand(c, x0) for c in self.coefficients(schedule, t))
        return p * x0 + q * noise

    def denoised(self, output: Tensor, x_t: Tensor, schedule: Schedule, t: Tensor) -> Denoised:
        """Solve the two equations for the clean latents and the noise.

        At an end of the path they may not determine both: there the determinant is kept away from
        zero, so that all stays finite.
        """
        alpha, sigma = expand(schedule.alpha(t), x_t), expand(schedule.sigma(t), x_t)
        p, q = (expand(c, x_t) for c in self.coefficients(schedule, t))
        determinant = alpha * q - sigma * p
        determinant = determinant.abs().clamp(min=1e-3).copysign(determinant)
        x0, noise = q * x_t - sigma * output, alpha * output - p * x_t
        return Denoised(x0 / determinant, noise / determinant)

    def error_scale(self, schedule: Schedule, t: Tensor) -> Tensor:
        """How an error of the clean latents grows in this prediction, x_t fixed: in the shape of t.

        From ``noise = (x_t - alpha x_0) / sigma``: ``|dy / dx_0| = |p - q alpha / sigma|``.
        """
        p, q = self.coefficients(schedule, t)
        return (p - q * schedule.alpha(t) / schedule.sigma(t)).abs()


class MakePrediction(Protocol):
    """A prediction with everything set."""

    def __call__(self) -> Prediction: ...


def expand(values: Tensor, like: Tensor) -> Tensor:
    """Values of clips, (b,), to (b, 1, 1, 1, 1); of their frames, (b, f), to (b, 1, f, 1, 1)."""
    if values.ndim == 2:
        return values[:, None, :, None, None]
    return values.view(-1, *([1] * (like.ndim - 1)))
