"""The objective: schedule x prediction x time sampler x loss weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidiff.diffusion.loss_weights import Constant, LossWeight
from vidiff.diffusion.predictions import Denoised, Flow, Prediction, expand
from vidiff.diffusion.schedules import Rectified, Schedule
from vidiff.diffusion.time_samplers import LogitNormal, TimeSampler
from vidiff.diffusion.variance import check_steps, variational_loss
from vidiff.types import Known

Network = Callable[[Tensor, Tensor], Tensor]
"""Noisy latents (b, c, f, h, w), network times (b,) or (b, f) to a prediction (b, c, f, h, w)."""


@dataclass
class Loss:
    """The loss of a batch, per clip."""

    weighted: Tensor  # (b,), whose mean training minimises
    unweighted: Tensor  # (b,), squared error of the prediction, comparable across loss weights
    t: Tensor  # (b,) or (b, f), the times that were drawn


@dataclass(eq=False)
class Objective:
    """The training loss, and the conversion of predictions to x0 and noise.

    Args:
        schedule: how clean latents turn into noise.
        prediction: what the network predicts.
        time_sampler: which times are trained on.
        loss_weight: how much each time's error counts.
        learn_variance: the network has twice the channels, and predicts in the second half the
            variance of the ancestral sampler's steps; a thousandth of the variational bound is
            added to the loss (the hybrid loss of Nichol & Dhariwal 2021, eq. 16). The schedule must
            have discrete steps.
    """

    schedule: Schedule = field(default_factory=Rectified)
    prediction: Prediction = field(default_factory=Flow)
    time_sampler: TimeSampler = field(default_factory=LogitNormal)
    loss_weight: LossWeight = field(default_factory=Constant)
    learn_variance: bool = False

    def __post_init__(self) -> None:
        if self.learn_variance:
            check_steps(self.schedule)

    def loss(
        self,
        network: Network,
        latents: Tensor,
        t: Tensor | None = None,
        noise: Tensor | None = None,
        known: Known | None = None,
    ) -> Loss:
        """Noise clean latents and compare the network's prediction with the target.

        Args:
            network: predicts.
            latents: (b, c, f, h, w), clean.
            t: (b,), or (b, f) for a time of its own per frame; drawn unless given.
            noise: like the latents; drawn unless given.
            known: clean at the network's input; the time of frames that are known everywhere is 0,
                and the error is averaged over the rest. Refused where the variance is learned.
        """
        if known is not None and self.learn_variance:
            raise ValueError(
                "learn_variance bounds the likelihood of whole clips, and here parts of them are "
                "known: leave learn_variance or the condition that gives frames out"
            )
        if t is None:
            t = self.time_sampler.draw(latents, self.schedule)
        t = self.inside(t)
        noise = torch.randn_like(latents) if noise is None else noise
        x_t = self.noised(latents, noise, t)
        if known is not None:
            x_t = known.put(x_t)
        output, variance = self.ask(network, x_t, t, known)
        target = self.prediction.target(latents, noise, self.schedule, t)
        weight = self.loss_weight(self.schedule, self.prediction, t)
        squares = (output - target).square()
        if t.ndim == 1 and known is None:
            error = squares.flatten(1).mean(1)
            weighted = weight * error
        else:
            error = unknown_mean(squares, known)
            weighted = unknown_mean(expand(weight, squares) * squares, known)
        if variance is not None:  # its gradient must not reach the prediction (section 4)
            estimate = self.prediction.denoised(output.detach(), x_t, self.schedule, t).x0
            bound = variational_loss(latents, estimate, variance, x_t, self.schedule, t)
            # The bound is the sum over all steps, of which one was drawn.
            weighted = weighted + 0.001 * self.schedule.num_steps * bound
        return Loss(weighted, error.detach(), t)

    def noised(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """``x_t = alpha x_0 + sigma noise``."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        return torch.addcmul(expand(alpha, latents) * latents, expand(sigma, latents), noise)

    def denoise(self, network: Network, x_t: Tensor, t: Tensor) -> Denoised:
        """Predict at times (b,) or (b, f), and convert to x0 and noise."""
        t = t.clamp(min=self.schedule.margins[0])
        output, variance = self.ask(network, x_t, t)
        denoised = self.prediction.denoised(output, x_t, self.schedule, t)
        denoised.variance = variance
        return denoised

    def ask(
        self, network: Network, x_t: Tensor, t: Tensor, known: Known | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The network's prediction, and that of the variance if it has learned one."""
        if known is not None:
            t = self.inside(known.times(t))
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


def unknown_mean(values: Tensor, known: Known | None) -> Tensor:
    """The mean of each clip's values (b, c, f, h, w) over what is not known: (b,)."""
    if known is None:
        return values.flatten(1).mean(1)
    left = (1 - known.mask.to(values)).expand_as(values)
    return (values * left).flatten(1).sum(1) / left.flatten(1).sum(1).clamp(min=1)
