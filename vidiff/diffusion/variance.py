"""Learned variances of ancestral sampling (Nichol & Dhariwal 2021, sections 3.1 and 4).

The network predicts for each value the place of the step's log-variance between its two bounds: -1
is the smallest (that of the posterior given the clean latents), 1 the largest (that of the step).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vidiff.diffusion.predictions import expand
from vidiff.diffusion.schedules import Schedule


def check_steps(schedule: Schedule) -> None:
    """Refuse a schedule of fewer than two discrete steps: it has no variance to learn."""
    if schedule.num_steps < 2:
        raise ValueError(
            "learn_variance needs a schedule of at least 2 discrete steps, got "
            f"{type(schedule).__name__} with {schedule.num_steps}; linear_beta has them"
        )


def posterior(
    x0: Tensor, x_t: Tensor, schedule: Schedule, t: Tensor, t_next: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean of x_t_next given x_t and clean latents (b, c, f, h, w); its variance's bounds, (b,).

    Ho et al. 2020, eq. 7, for any two times (b,) of any schedule (Kingma et al. 2021, appendix
    A.2). With ``beta`` the variance of the step from t_next to t, the smallest variance is
    ``sigma_next^2 beta / sigma^2`` and the largest ``beta``.
    """
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    alpha_next, sigma_next = schedule.alpha(t_next), schedule.sigma(t_next)
    ratio = alpha / alpha_next
    kept = (ratio * sigma_next / sigma).square()  # of x_t's noise, what x_t_next had already
    beta = sigma.square() * (1 - kept)
    mean = expand(ratio * (sigma_next / sigma).square(), x_t) * x_t
    mean = mean + expand(alpha_next * (1 - kept), x_t) * x0
    return mean, sigma_next.square() * (1 - kept), beta


def log_variance(variance: Tensor, smallest: Tensor, largest: Tensor) -> Tensor:
    """The network's prediction, (b, c, f, h, w), as the logarithm of a variance (eq. 15).

    Where the smallest is zero, as in a step to t = 0 that adds no noise, the largest stands in.
    """
    smallest = torch.where(smallest > 0, smallest, largest)
    fraction = (variance + 1) / 2
    low, high = expand(smallest.log(), variance), expand(largest.log(), variance)
    return low + fraction * (high - low)


def variational_loss(
    latents: Tensor,
    estimate: Tensor,
    variance: Tensor,
    x_t: Tensor,
    schedule: Schedule,
    t: Tensor,
) -> Tensor:
    """The variational bound's term of one discrete step back from t, in bits per value: (b,).

    The divergence of the model's step from the true one (Ho et al. 2020, eq. 5); in the step that
    ends at t = 0, how unlikely the clean latents are (eq. 13). The smallest variance of that step
    is zero, so that of the second stands in (as in the code of Nichol & Dhariwal 2021).

    All (b, c, f, h, w): clean latents, the network's estimate of them, its prediction of the
    variance, -1 to 1, and x_t, at t, (b,) or (b, f), at or between the schedule's discrete steps.
    """
    step = 1 / schedule.num_steps
    t = t.double()  # betas are small differences of numbers near 1
    t_next = t - step
    last = t_next < 1e-3 * step  # but for rounding, zero
    t_next = t_next.masked_fill(last, 0.0)
    second = t.clamp(min=2 * step)
    _, smallest, _ = posterior(latents, x_t, schedule, second, second - step)
    true_mean, _, largest = posterior(latents, x_t, schedule, t, t_next)
    mean, _, _ = posterior(estimate, x_t, schedule, t, t_next)
    log_var = log_variance(variance, smallest, largest)
    true_log_var = expand(smallest.log(), x_t)
    divergence = log_var - true_log_var - 1 + (true_log_var - log_var).exp()
    divergence = (divergence + (true_mean - mean).square() * (-log_var).exp()) / 2
    surprise = -log_likelihood(latents, mean, (log_var / 2).exp())
    nats = torch.where(expand(last, x_t), surprise, divergence)
    return (nats.flatten(1).mean(1) / math.log(2)).to(latents.dtype)


def log_likelihood(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log-probability of values in bins of 1/127.5, open beyond +-0.999 (Ho et al. 2020, eq. 13).

    The bins are those of 8-bit pixels in [-1, 1]; latents are put in the same.
    """
    low, high = (values - 1 / 255 - mean) / std, (values + 1 / 255 - mean) / std
    inside = (torch.special.ndtr(high) - torch.special.ndtr(low)).clamp(min=1e-12).log()
    below, above = torch.special.log_ndtr(high), torch.special.log_ndtr(-low)
    return torch.where(values < -0.999, below, torch.where(values > 0.999, above, inside))
