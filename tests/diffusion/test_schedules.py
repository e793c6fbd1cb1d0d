"""Schedules against closed forms and diffusers."""

import math

import pytest
import torch

from vidiff.diffusion.schedules import EDM, VP, Cosine, LinearBeta, Rectified, Schedule
from vidiff.registry import get_component, list_components

T = torch.linspace(0.01, 0.99, 50)
SCHEDULES = list_components("schedule")


def make(name: str) -> Schedule:
    return get_component("schedule", name).cls()


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_runs_from_clean_to_noise(name):
    schedule = make(name)
    ends = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(schedule.alpha(ends)[0], torch.tensor(1.0))
    torch.testing.assert_close(schedule.sigma(ends)[0], torch.tensor(0.0))
    assert schedule.noise_ratio(ends)[1] >= 80
    assert (schedule.alpha(ends) >= 0).all()
    assert (schedule.snr(T).diff() < 0).all()
    assert (schedule.network_time(T).diff() > 0).all()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("part", ["alpha", "sigma"])
def test_derivatives_match_finite_differences(name, part):
    schedule = make(name)
    t = T.double()[1::2] + 1e-4  # off the knots of tabulated schedules
    step = 1e-6
    function = getattr(schedule, part)
    numeric = (function(t + step) - function(t - step)) / (2 * step)
    torch.testing.assert_close(
        getattr(schedule, f"{part}_derivative")(t), numeric, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", SCHEDULES)
def test_derivatives_are_finite_from_end_to_end(name):
    schedule = make(name)
    t = torch.tensor([0.0, schedule.margins[0], schedule.margins[1], 1.0])
    assert schedule.alpha_derivative(t).isfinite().all()
    assert schedule.sigma_derivative(t).isfinite().all()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_time_at_undoes_the_noise_ratio(name, dtype):
    schedule = make(name)
    t = torch.linspace(0, 1, 101, dtype=dtype)
    found = schedule.time_at(schedule.noise_ratio(t))
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(found, t, atol=tolerance, rtol=0)
    beyond = schedule.time_at(torch.tensor([0.0, math.inf], dtype=dtype))
    torch.testing.assert_close(beyond, torch.tensor([0.0, 1.0], dtype=dtype))


@pytest.mark.parametrize("name", SCHEDULES)
def test_solved_times_are_those_of_the_bisection(name):
    schedule = make(name)
    ratio = torch.logspace(-2, 1.5, 40, dtype=torch.float64)
    torch.testing.assert_close(schedule.time_at(ratio), Schedule.time_at(schedule, ratio))


@pytest.mark.parametrize("name", SCHEDULES)
def test_float64_times_are_answered_in_float64(name):
    schedule = make(name)
    for part in ("alpha", "sigma", "alpha_derivative", "sigma_derivative", "network_time", "snr"):
        exact = getattr(schedule, part)(T.double())
        assert exact.dtype == torch.float64
        torch.testing.assert_close(getattr(schedule, part)(T), exact.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cls", [Cosine, VP, LinearBeta])
def test_variance_is_preserved_where_it_is_said_to_be(cls):
    schedule, t = cls(), torch.linspace(0, 1, 101, dtype=torch.float64)
    assert schedule.variance_preserving
    power = schedule.alpha(t).square() + schedule.sigma(t).square()
    torch.testing.assert_close(power, torch.ones_like(t))


def test_network_times_can_run_the_other_way():
    """SiT's time is 0 for noise and 1 for data."""
    for schedule in (Rectified(network_times=(1.0, 0.0)), VP(network_times=(1.0, 0.0))):
        torch.testing.assert_close(schedule.network_time(T), 1 - T)
    torch.testing.assert_close(Cosine().network_time(T), 1000 * T)
    with pytest.raises(ValueError, match=r"network_times must differ, got 1\.0"):
        Cosine(network_times=(1.0, 1.0))


def test_linear_beta_is_ddpm_at_its_steps():
    """alpha_bar of Ho et al. 2020, section 4, and the step number as the network's time."""
    alpha_bar = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)
    schedule = LinearBeta()
    t = (torch.arange(1000, dtype=torch.float64) + 1) / 1000
    torch.testing.assert_close(schedule.alpha(t).square(), alpha_bar)
    torch.testing.assert_close(schedule.sigma(t).square(), 1 - alpha_bar)
    torch.testing.assert_close(schedule.network_time(t), torch.arange(1000, dtype=torch.float64))


def test_vp_is_the_limit_of_linear_beta():
    """Song et al. 2021, appendix B: N betas of beta(t) / N, for N to infinity."""
    t, steps = T.double(), 100_000
    discrete = LinearBeta(steps, beta_start=0.1 / steps, beta_end=20 / steps)
    torch.testing.assert_close(VP().alpha(t), discrete.alpha(t), rtol=2e-3, atol=0)


def test_vp_has_its_integrated_rate():
    """log alpha is minus half the integral of beta(t), here by the trapezium rule."""
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    integral = torch.cumulative_trapezoid(0.1 + t * 19.9, t)
    torch.testing.assert_close(VP().alpha(t[1:]).log(), -integral / 2)


@pytest.mark.parametrize(
    ("cls", "settings", "message"),
    [
        (LinearBeta, {"beta_start": 0.0}, "linear_beta needs"),
        (LinearBeta, {"beta_end": 1.0}, "linear_beta needs"),
        (LinearBeta, {"num_steps": 0}, "linear_beta needs"),
        (VP, {"beta_min": 0.0}, "vp needs"),
        (VP, {"beta_min": 2.0, "beta_max": 1.0}, "vp needs"),
        (EDM, {"sigma_min": 0.0}, "edm needs"),
        (EDM, {"sigma_max": 0.001}, "edm needs"),
        (EDM, {"time_scale": 0.0}, "time_scale must not be 0"),
    ],
)
def test_refuses_what_is_no_schedule(cls, settings, message):
    with pytest.raises(ValueError, match=message):
        cls(**settings)


# -- Against diffusers --------------------------------------------------------------------------


def test_linear_beta_has_the_alphas_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDPMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    t = torch.arange(1, 1001) / 1000
    ours = LinearBeta().alpha(t).square()
    torch.testing.assert_close(ours, theirs.alphas_cumprod, atol=1e-5, rtol=1e-4)


def test_rectified_noises_as_diffusers_does():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.FlowMatchEulerDiscreteScheduler()
    schedule, sigmas = Rectified(), theirs.sigmas
    torch.testing.assert_close(schedule.sigma(sigmas), sigmas)
    torch.testing.assert_close(schedule.network_time(sigmas), theirs.timesteps)
    sample, noise = torch.randn(2, 5, 3, 2, 4, 4)
    times = theirs.timesteps[[0, 10, 500, 900, 999]]
    t = (times / 1000).view(-1, 1, 1, 1, 1)
    ours = schedule.alpha(t) * sample + schedule.sigma(t) * noise
    torch.testing.assert_close(ours, theirs.scale_noise(sample, times, noise), atol=1e-5, rtol=1e-5)


def test_edm_gives_the_network_the_noise_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.EDMEulerScheduler()
    schedule = EDM()
    torch.testing.assert_close(
        schedule.network_time(T), theirs.precondition_noise(schedule.sigma(T)), atol=1e-5, rtol=1e-5
    )
    one = torch.ones(1)
    assert schedule.start_scale(one) == 80
    torch.testing.assert_close(EDM(time_scale=4.0).network_time(one), torch.tensor([math.log(80)]))
