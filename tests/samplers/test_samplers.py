"""Samplers on a problem with a known answer: the ideal denoiser of Gaussian data is linear."""

import pytest
import torch

from vidiff.diffusion.predictions import Denoised, expand
from vidiff.diffusion.schedules import Rectified
from vidiff.registry import get_component, list_components
from vidiff.samplers import DDIM, ClassifierFree, Euler

MEAN, STD = 0.7, 0.3


def ideal(schedule):
    """The posterior mean of N(MEAN, STD^2) data, and the noise that goes with it."""

    def denoise(x_t, t):
        t = t.clamp(1e-3, 1 - 1e-3)
        alpha, sigma = expand(schedule.alpha(t), x_t), expand(schedule.sigma(t), x_t)
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        sample = MEAN + gain * (x_t - alpha * MEAN)
        return Denoised(sample, (x_t - alpha * sample) / sigma)

    return denoise


def draw(sampler, schedule, count=4000):
    torch.manual_seed(0)
    start = torch.randn(count, 1, 1, 1, 1)
    return sampler(ideal(schedule), start, schedule, lambda: torch.randn_like(start))


@pytest.mark.parametrize("schedule", list_components("schedule"))
@pytest.mark.parametrize("sampler", list_components("sampler"))
def test_reaches_the_distribution_of_the_data(sampler, schedule):
    schedule = get_component("schedule", schedule).cls()
    x = draw(get_component("sampler", sampler).cls(num_steps=200), schedule)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(STD, rel=0.06)


def test_ancestral_ddim_reaches_it_too():
    x = draw(DDIM(num_steps=200, eta=1.0), get_component("schedule", "linear_beta").cls())
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(STD, rel=0.06)


def test_ddim_and_euler_are_one_on_the_straight_path():
    torch.testing.assert_close(
        draw(DDIM(num_steps=7), Rectified()),
        draw(Euler(num_steps=7), Rectified()),
        atol=5e-3,
        rtol=0,
    )


@pytest.mark.parametrize("sampler", list_components("sampler"))
def test_more_steps_come_closer(sampler):
    cls, schedule = get_component("sampler", sampler).cls, Rectified()
    exact = draw(cls(num_steps=400), schedule)
    errors = [(draw(cls(num_steps=n), schedule) - exact).abs().mean() for n in (4, 16, 64)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_one_step_is_the_posterior_mean():
    """From pure noise the best single guess is the mean of the data."""
    x = draw(Euler(num_steps=1), Rectified())
    torch.testing.assert_close(x, torch.full_like(x, MEAN), atol=0.01, rtol=0)


def test_shift_moves_times_towards_noise_and_keeps_the_ends():
    plain, moved = (Euler(num_steps=10, shift=s).times(torch.device("cpu")) for s in (1.0, 3.0))
    assert (moved[1:-1] > plain[1:-1]).all()
    assert moved[[0, -1]].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("settings", [{"num_steps": 0}, {"shift": 0.0}])
@pytest.mark.parametrize("sampler", list_components("sampler"))
def test_refuses_what_is_no_walk(sampler, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        get_component("sampler", sampler).cls(**settings)


class Counter:
    """A denoiser that says one number and counts how often it is asked."""

    def __init__(self, value):
        self.value, self.calls = value, 0

    def __call__(self, x_t, t):
        self.calls += 1
        return Denoised(torch.full_like(x_t, self.value), torch.full_like(x_t, -self.value))


@pytest.mark.parametrize(
    ("scale", "t", "expected", "asked"),
    [
        (1.0, 0.5, 2.0, (1, 0)),
        (0.0, 0.5, 1.0, (0, 1)),
        (3.0, 0.5, 4.0, (1, 1)),
        (3.0, 0.9, 2.0, (1, 0)),
    ],
)
def test_guidance_extrapolates_inside_its_interval_and_asks_no_more_than_needed(
    scale, t, expected, asked
):
    with_prompt, without = Counter(2.0), Counter(1.0)
    guidance = ClassifierFree(scale=scale, interval=(0.1, 0.8))
    denoised = guidance(with_prompt, without, torch.zeros(2, 1, 1, 1, 1), torch.full((2,), t))
    assert denoised.sample.unique().tolist() == [expected]
    assert denoised.noise.unique().tolist() == [-expected]
    assert (with_prompt.calls, without.calls) == asked


def test_guidance_refuses_an_interval_outside_time():
    with pytest.raises(ValueError, match="interval"):
        ClassifierFree(interval=(0.5, 1.5))
