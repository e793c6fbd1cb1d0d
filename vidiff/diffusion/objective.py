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
from vidiff.diffusion.variance import check_steps, variational_loss

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
        learn_variance: the network has twice the channels, and says in the second half how
            uncertain a step of the ancestral sampler is; a thousandth of the variational bound is
            added to the loss (the hybrid loss of Nichol & Dhariwal 2021, eq. 16).

    Raises:
        ValueError: if a variance is to be learned on a schedule of fewer than 2 discrete steps.
    """

    def __init__(
        self,
        schedule: Schedule | None = None,
        prediction: Prediction | None = None,
        time_sampler: TimeSampler | None = None,
        loss_weight: LossWeight | None = None,
        learn_variance: bool = False,
    ) -> None:
        self.schedule = schedule or Rectified()
        self.prediction = prediction or Flow()
        self.time_sampler = time_sampler or LogitNormal()
        self.loss_weight = loss_weight or Constant()
        self.learn_variance = learn_variance
        if learn_variance:
            check_steps(self.schedule)

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
            t = self.time_sampler(len(latents), latents.device, self.schedule)
        t = self.inside(t)
        noise = torch.randn_like(latents) if noise is None else noise
        x_t = self.noised(latents, noise, t)
        output, variance = self.ask(network, x_t, t)
        target = self.prediction.target(latents, noise, self.schedule, t)
        error = (output - target).square().flatten(1).mean(1)
        weighted = self.loss_weight(self.schedule, self.prediction, t) * error
        if variance is not None:  # its gradient must not reach the prediction (section 4)
            estimate = self.prediction.denoised(output.detach(), x_t, self.schedule, t).sample
            bound = variational_loss(latents, estimate, variance, x_t, self.schedule, t)
            # The bound is the sum over all steps, of which one was drawn.
            weighted = weighted + 0.001 * self.schedule.num_steps * bound
        return Loss(weighted, error.detach(), t)

    def noised(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """``x_t = alpha x_0 + sigma noise``."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        return torch.addcmul(expand(alpha, latents) * latents, expand(sigma, latents), noise)

    def denoise(self, network: Network, x_t: Tensor, t: Tensor) -> Denoised:
        """Ask the network about x_t at times (b,), and read clean latents and noise."""
        t = t.clamp(min=self.schedule.margins[0])
        output, variance = self.ask(network, x_t, t)
        denoised = self.prediction.denoised(output, x_t, self.schedule, t)
        denoised.variance = variance
        return denoised

    def ask(self, network: Network, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's prediction, and what it says of its variance if it has learned one."""
        scale = self.prediction.input_scale(self.schedule, t)
        x = x_t if scale is None else expand(scale, x_t) * x_t
        output = network(x, self.schedule.network_time(t)).float()
        if not self.learn_variance:
            return output, None
        prediction, variance = output.chunk(2, dim=1)
        return prediction, variance

    def inside(self, t: Tensor) -> Tensor:
        """Times kept within the schedule's margins."""
        return t.clamp(*self.schedule.margins)
