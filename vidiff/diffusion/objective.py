"""The objective: schedule x prediction x time sampler x loss weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vidiff.diffusion.loss_weights import Constant, LossWeight
from vidiff.diffusion.predictions import Denoised, Flow, Prediction, expand
from vidiff.diffusion.schedules import Rectified, Schedule
from vidiff.diffusion.time_samplers import LogitNormal, TimeSampler

Network = Callable[[Tensor, Tensor], Tensor]
"""Noisy latents (b, c, f, h, w) and network times (b,) to a prediction (b, c, f, h, w)."""


@dataclass
class Loss:
    """The loss of a batch, per clip.

    Attributes:
        weighted: (b,), what training minimises the mean of.
        unweighted: (b,), mean squared error of the prediction, comparable across loss weights.
        t: (b,), the times that were drawn.
    """

    weighted: Tensor
    unweighted: Tensor
    t: Tensor


class Objective:
    """Draws times and noise, asks the network, weighs its error; and reads its answers.

    Args:
        schedule: how clean latents turn into noise.
        prediction: what the network predicts.
        time_sampler: which times are trained on.
        loss_weight: how much each time's error counts.
        margin: times are kept within [margin, 1 - margin], where every prediction can be turned
            into every other one (as SiT does, Ma et al. 2024).

    Raises:
        ValueError: if the margin is not within (0, 0.5).
    """

    def __init__(
        self,
        schedule: Schedule | None = None,
        prediction: Prediction | None = None,
        time_sampler: TimeSampler | None = None,
        loss_weight: LossWeight | None = None,
        margin: float = 1e-3,
    ) -> None:
        if not 0 < margin < 0.5:
            raise ValueError(f"margin must be within (0, 0.5), got {margin}")
        self.schedule = schedule or Rectified()
        self.prediction = prediction or Flow()
        self.time_sampler = time_sampler or LogitNormal()
        self.loss_weight = loss_weight or Constant()
        self.margin = margin

    def loss(
        self,
        network: Network,
        latents: Tensor,
        t: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Loss:
        """Noise clean latents (b, c, f, h, w) and compare the network's answer with the target.

        Times (b,) and noise (like latents) are drawn unless given.
        """
        if t is None:
            t = self.time_sampler(len(latents), latents.device)
        t = self.inside(t)
        noise = torch.randn_like(latents) if noise is None else noise
        output = network(self.noised(latents, noise, t), self.schedule.network_time(t))
        target = self.prediction.target(latents, noise, self.schedule, t)
        error = (output.float() - target).square().flatten(1).mean(1)
        weight = self.loss_weight(self.schedule, self.prediction, t)
        return Loss(weight * error, error.detach(), t)

    def noised(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """``x_t = alpha x_0 + sigma noise``."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        return torch.addcmul(expand(alpha, latents) * latents, expand(sigma, latents), noise)

    def denoise(self, network: Network, x_t: Tensor, t: Tensor) -> Denoised:
        """Ask the network about x_t at times (b,), and read clean latents and noise."""
        t = self.inside(t)
        output = network(x_t, self.schedule.network_time(t)).float()
        return self.prediction.denoised(output, x_t, self.schedule, t)

    def inside(self, t: Tensor) -> Tensor:
        """Times kept within the margin."""
        return t.clamp(self.margin, 1 - self.margin)
