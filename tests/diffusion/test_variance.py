"""Learned variances against DDPM's discrete formulas, written out here, and diffusers."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from vidiff.diffusion import Objective
from vidiff.diffusion.predictions import expand
from vidiff.diffusion.schedules import LinearBeta
from vidiff.diffusion.variance import log_likelihood, log_variance, posterior, variational_loss
from vidiff.registry import get_component, list_components

STEPS = [0, 1, 2, 10, 499, 998, 999]
"""DDPM's step numbers; t is (step + 1) / 1000."""


def draws(count):
    """Clean latents, an estimate of them, what is said of its variance, and noise."""
    latents, noise = torch.randn(2, count, 2, 3, 4, 4).double()
    estimate = latents + 0.05 * torch.randn_like(latents)
    return latents, estimate, torch.rand_like(latents) * 2 - 1, noise


def discrete_bound(latents, estimate, variance, x_t, step):
    """Bits per value of one step, as numpy arrays: Ho et al. 2020, eq. 5, 7 and 13."""
    betas = np.linspace(1e-4, 0.02, 1000)
    alphas = 1 - betas
    bar = np.cumprod(alphas)
    bar_before = np.append(1.0, bar[:-1])
    smallest = betas * (1 - bar_before) / (1 - bar)
    smallest[0] = smallest[1]
    of_sample = betas * np.sqrt(bar_before) / (1 - bar)
    of_x_t = (1 - bar_before) * np.sqrt(alphas) / (1 - bar)
    true_mean = of_sample[step] * latents + of_x_t[step] * x_t
    mean = of_sample[step] * estimate + of_x_t[step] * x_t
    share = (variance + 1) / 2  # Nichol & Dhariwal 2021, eq. 15
    model_variance = np.exp(share * np.log(betas[step]) + (1 - share) * np.log(smallest[step]))
    if step == 0:
        normal = stats.norm(mean, np.sqrt(model_variance))
        high = np.where(latents > 0.999, 1.0, normal.cdf(latents + 1 / 255))
        low = np.where(latents < -0.999, 0.0, normal.cdf(latents - 1 / 255))
        nats = -np.log(np.maximum(high - low, 1e-12))
    else:
        ratio = smallest[step] / model_variance
        nats = (ratio - 1 - np.log(ratio) + (true_mean - mean) ** 2 / model_variance) / 2
    return nats.mean() / math.log(2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_bound_is_ddpm_s_at_its_steps(dtype):
    schedule = LinearBeta()
    t = ((torch.tensor(STEPS, dtype=torch.float64) + 1) / 1000).to(dtype)
    latents, estimate, variance, noise = draws(len(STEPS))
    latents[0] = latents[0].clamp(-1, 1) * 1.0005  # some at the open edges
    estimate[0] = latents[0] + 0.004 * torch.randn_like(latents[0])
    x_t = Objective(schedule).noised(latents, noise, t.double())
    tensors = [x.to(dtype) for x in (latents, estimate, variance, x_t)]
    ours = variational_loss(*tensors, schedule, t)
    assert ours.shape == (len(STEPS),)
    assert ours.dtype == dtype
    arrays = [[x[i].double().numpy() for x in tensors] for i in range(len(STEPS))]
    theirs = [discrete_bound(*one, step) for one, step in zip(arrays, STEPS, strict=True)]
    expected = torch.tensor(theirs, dtype=torch.float64)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_bound_is_zero_for_the_true_step():
    """Also between the discrete steps: the estimate is exact and the variance the smallest."""
    t = torch.tensor([0.002, 0.0313, 0.5004, 1.0])
    latents, _, _, noise = draws(4)
    x_t = Objective(LinearBeta()).noised(latents, noise, t)
    smallest = -torch.ones_like(latents)
    bound = variational_loss(latents, latents, smallest, x_t, LinearBeta(), t)
    torch.testing.assert_close(bound, torch.zeros_like(bound), atol=1e-10, rtol=0)


@pytest.mark.parametrize("t", [0.0025, 0.5004, 0.7777])
def test_the_bound_between_the_steps_is_a_divergence_of_normals(t):
    schedule, times = LinearBeta(), torch.full((3,), t, dtype=torch.float64)
    latents, estimate, variance, noise = draws(3)
    x_t = Objective(schedule).noised(latents, noise, times)
    true_mean, smallest, largest = posterior(latents, x_t, schedule, times, times - 0.001)
    mean, _, _ = posterior(estimate, x_t, schedule, times, times - 0.001)
    share = (variance + 1) / 2
    std = expand(largest.sqrt(), x_t) ** share * expand(smallest.sqrt(), x_t) ** (1 - share)
    divergence = torch.distributions.kl_divergence(
        torch.distributions.Normal(true_mean, expand(smallest.sqrt(), x_t)),
        torch.distributions.Normal(mean, std),
    )
    bound = variational_loss(latents, estimate, variance, x_t, schedule, times)
    torch.testing.assert_close(bound, divergence.flatten(1).mean(1) / math.log(2))


@pytest.mark.parametrize("name", list_components("schedule"))
def test_the_posterior_is_that_of_conditioned_normals(name):
    """x_next and x_t are normal given x_0, with covariance alpha / alpha_next sigma_next^2."""
    schedule = get_component("schedule", name).cls()
    t, t_next = torch.tensor([[0.9, 0.5, 0.2], [0.6, 0.49, 0.01]], dtype=torch.float64)
    sample, x_t = torch.randn(2, 3, 2, 2, 3, 3).double()
    alpha, alpha_next = schedule.alpha(t), schedule.alpha(t_next)
    variance, variance_next = schedule.sigma(t) ** 2, schedule.sigma(t_next) ** 2
    covariance = alpha / alpha_next * variance_next
    expected = expand(alpha_next, x_t) * sample
    surprise = x_t - expand(alpha, x_t) * sample
    expected = expected + expand(covariance / variance, x_t) * surprise
    mean, smallest, largest = posterior(sample, x_t, schedule, t, t_next)
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(smallest, variance_next - covariance**2 / variance)
    torch.testing.assert_close(largest, variance - (alpha / alpha_next) ** 2 * variance_next)


def test_the_log_variance_is_that_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDPMScheduler(beta_schedule="linear", variance_type="learned_range")
    schedule = LinearBeta()
    said = torch.linspace(-1, 1, 24).view(1, 2, 3, 2, 2)
    x_t = torch.zeros_like(said)
    for step in STEPS[1:]:
        t = torch.tensor([(step + 1) / 1000], dtype=torch.float64)
        _, smallest, largest = posterior(x_t, x_t, schedule, t, t - 0.001)
        torch.testing.assert_close(
            log_variance(said, smallest, largest).float(),
            theirs._get_variance(step, predicted_variance=said),
            rtol=1e-3,  # theirs are differences of float32 numbers near 1
            atol=0,
        )


def test_a_step_to_clean_latents_has_a_finite_log_variance():
    t = torch.tensor([0.3])
    said = torch.randn(1, 2, 3, 2, 2)
    _, smallest, largest = posterior(said, said, LinearBeta(), t, torch.zeros(1))
    assert smallest == 0
    torch.testing.assert_close(
        log_variance(said, smallest, largest), largest.log().expand(said.shape)
    )


def test_the_probabilities_of_all_bins_sum_to_one():
    """256 values of pixels, from -1 to 1; the outer bins are open."""
    values = torch.linspace(-1, 1, 256, dtype=torch.float64)
    for mean, std in ((0.3, 0.05), (-0.99, 0.2), (2.0, 1.0)):
        full = torch.full_like(values, mean), torch.full_like(values, std)
        total = log_likelihood(values, *full).exp().sum()
        torch.testing.assert_close(total, torch.tensor(1.0, dtype=torch.float64))
