"""Schedules, predictions and loss weights against closed forms."""

import pytest
import torch

from vidiff.diffusion import Objective
from vidiff.diffusion.loss_weights import Constant, MinSNR
from vidiff.diffusion.predictions import Epsilon, Flow, Sample, Velocity
from vidiff.diffusion.schedules import LinearBeta, Rectified
from vidiff.registry import get_component, list_components

T = torch.linspace(0.01, 0.99, 50)


def make(kind: str, name: str):
    return get_component(kind, name).cls()


@pytest.mark.parametrize("name", list_components("schedule"))
def test_schedule_runs_from_clean_to_noise(name):
    schedule = make("schedule", name)
    ends = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(schedule.alpha(ends)[0], torch.tensor(1.0))
    torch.testing.assert_close(schedule.sigma(ends)[0], torch.tensor(0.0))
    assert schedule.alpha(ends)[1] < 0.01
    assert schedule.sigma(ends)[1] > 0.99
    assert (schedule.snr(T).diff() < 0).all()
    assert (schedule.network_time(T).diff() > 0).all()


@pytest.mark.parametrize("name", list_components("schedule"))
@pytest.mark.parametrize("part", ["alpha", "sigma"])
def test_schedule_derivatives_match_finite_differences(name, part):
    schedule = make("schedule", name)
    t = T.double()[1::2] + 1e-4  # off the knots of tabulated schedules
    step = 1e-6
    function = getattr(schedule, part)
    numeric = (function(t + step) - function(t - step)) / (2 * step)
    torch.testing.assert_close(
        getattr(schedule, f"{part}_derivative")(t), numeric, rtol=1e-4, atol=1e-6
    )


def test_linear_beta_is_ddpm_at_its_steps():
    """alpha_bar of Ho et al. 2020, section 4, and the step number as the network's time."""
    alpha_bar = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)
    schedule = LinearBeta()
    t = (torch.arange(1000, dtype=torch.float64) + 1) / 1000
    torch.testing.assert_close(schedule.alpha(t).square(), alpha_bar)
    torch.testing.assert_close(schedule.sigma(t).square(), 1 - alpha_bar)
    torch.testing.assert_close(schedule.network_time(t), torch.arange(1000, dtype=torch.float64))


@pytest.mark.parametrize("betas", [{"beta_start": 0.0}, {"beta_end": 1.0}, {"num_steps": 0}])
def test_linear_beta_refuses_what_is_no_schedule(betas):
    with pytest.raises(ValueError, match="linear_beta needs"):
        LinearBeta(**betas)


@pytest.mark.parametrize("schedule", list_components("schedule"))
@pytest.mark.parametrize("prediction", list_components("prediction"))
def test_a_perfect_prediction_gives_back_sample_and_noise(schedule, prediction):
    objective = Objective(make("schedule", schedule), make("prediction", prediction))
    sample, noise = torch.randn(2, 50, 2, 3, 4, 4).double()
    x_t = objective.noised(sample, noise, T.double())
    target = objective.prediction.target(sample, noise, objective.schedule, T.double())
    denoised = objective.prediction.denoised(target, x_t, objective.schedule, T.double())
    torch.testing.assert_close(denoised.sample, sample, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(denoised.noise, noise, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("schedule", list_components("schedule"))
@pytest.mark.parametrize("prediction", list_components("prediction"))
def test_error_scale_is_the_slope_of_the_prediction(schedule, prediction):
    """With x_t fixed, moving the clean latents by e moves the prediction by error_scale e."""
    schedule, prediction = make("schedule", schedule), make("prediction", prediction)
    t = T.double()
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    p, q = prediction.coefficients(schedule, t)
    x_t = torch.full_like(t, 0.3)
    y = [p * x + q * (x_t - alpha * x) / sigma for x in (0.0, 1.0)]
    torch.testing.assert_close(prediction.error_scale(schedule, t), (y[1] - y[0]).abs())


def test_flow_on_the_straight_path_is_noise_minus_sample():
    sample, noise = torch.randn(2, 50, 3, 2, 4, 4)
    torch.testing.assert_close(Flow().target(sample, noise, Rectified(), T), noise - sample)


def test_velocity_follows_its_definition():
    sample, noise = torch.randn(2, 50, 3, 2, 4, 4)
    schedule = LinearBeta()
    alpha, sigma = schedule.alpha(T).view(-1, 1, 1, 1, 1), schedule.sigma(T).view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(
        Velocity().target(sample, noise, schedule, T), alpha * noise - sigma * sample
    )


def test_min_snr_has_the_weights_of_the_paper():
    """Hang et al. 2023: min(snr, g) for x_0, over snr for noise, over snr + 1 for velocity."""
    schedule, weight = LinearBeta(), MinSNR(gamma=5.0)
    snr, t = schedule.snr(T), T
    bounded = snr.clamp(max=5.0)
    torch.testing.assert_close(weight(schedule, Sample(), t), bounded)
    torch.testing.assert_close(weight(schedule, Epsilon(), t), bounded / snr, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        weight(schedule, Velocity(), t), bounded / (snr + 1), rtol=1e-4, atol=1e-6
    )


def test_constant_measured_on_flow_is_the_error_of_the_flow():
    schedule, t = Rectified(), T
    weight = Constant(measured_on=Flow, largest=1e9)(schedule, Sample(), t)
    torch.testing.assert_close(weight, 1 / t.square())
    assert Constant(measured_on=Flow, largest=9.0)(schedule, Sample(), t).max() == 9
    with pytest.raises(ValueError, match="largest must be positive, got 0"):
        Constant(measured_on=Flow, largest=0)


def test_loss_of_a_network_that_knows_is_zero_and_per_clip():
    objective = Objective(Rectified(), Sample())
    latents = torch.randn(6, 2, 3, 4, 4)
    loss = objective.loss(lambda x, t: latents, latents)
    assert loss.weighted.shape == loss.unweighted.shape == loss.t.shape == (6,)
    assert loss.weighted.abs().max() == 0
    assert objective.loss(lambda x, t: latents + 2, latents).unweighted.allclose(torch.tensor(4.0))


def test_times_that_are_given_are_used_within_the_margin():
    objective = Objective(margin=0.01)
    loss = objective.loss(
        lambda x, t: x, torch.randn(3, 1, 1, 2, 2), t=torch.tensor([0.0, 0.5, 1.0])
    )
    torch.testing.assert_close(loss.t, torch.tensor([0.01, 0.5, 0.99]))
    with pytest.raises(ValueError, match="margin"):
        Objective(margin=0.0)
