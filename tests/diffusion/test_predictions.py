"""Predictions against their definitions and diffusers."""

from functools import partial

import pytest
import torch

from vidiff.config_nodes import build, describe
from vidiff.diffusion import Objective
from vidiff.diffusion.predictions import EDM, Epsilon, Flow, Prediction, Score, Velocity, expand
from vidiff.diffusion.schedules import EDM as EDMSchedule
from vidiff.diffusion.schedules import VP, LinearBeta, Rectified
from vidiff.registry import get_component, list_components

T = torch.linspace(0.01, 0.99, 50)
SCHEDULES, PREDICTIONS = list_components("schedule"), list_components("prediction")


def make(kind: str, name: str):
    return get_component(kind, name).cls()


def draws():
    """Clean latents and noise, and a factor for each time that fits both."""
    return torch.randn(2, 50, 2, 3, 4, 4)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_prediction_gives_back_sample_and_noise(schedule, prediction):
    objective = Objective(make("schedule", schedule), make("prediction", prediction))
    sample, noise = draws().double()
    x_t = objective.noised(sample, noise, T.double())
    target = objective.prediction.target(sample, noise, objective.schedule, T.double())
    denoised = objective.prediction.denoised(target, x_t, objective.schedule, T.double())
    torch.testing.assert_close(denoised.x0, sample, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(denoised.noise, noise, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
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
    sample, noise = draws()
    torch.testing.assert_close(Flow().target(sample, noise, Rectified(), T), noise - sample)
    towards = Flow(towards="sample").target(sample, noise, Rectified(), T)
    torch.testing.assert_close(towards, sample - noise)


def test_towards_is_a_plain_value_of_a_config():
    node = describe(partial(Flow, towards="sample"))
    assert node["init_args"] == {"towards": "sample"}
    assert build(node, Prediction).towards == "sample"
    with pytest.raises(ValueError, match="towards must be 'noise' or 'sample', got 'data'"):
        Flow(towards="data")


def test_velocity_follows_its_definition():
    sample, noise = draws()
    schedule = LinearBeta()
    alpha, sigma = expand(schedule.alpha(T), sample), expand(schedule.sigma(T), sample)
    torch.testing.assert_close(
        Velocity().target(sample, noise, schedule, T), alpha * noise - sigma * sample
    )


def test_score_is_the_slope_of_the_log_density():
    """Of x_t given x_0, by automatic differentiation."""
    sample, noise = draws().double()
    objective = Objective(VP(), Score())
    x_t = objective.noised(sample, noise, T.double()).requires_grad_()
    alpha, sigma = (expand(f(T.double()), x_t) for f in (VP().alpha, VP().sigma))
    torch.distributions.Normal(alpha * sample, sigma).log_prob(x_t).sum().backward()
    torch.testing.assert_close(Score().target(sample, noise, VP(), T.double()), x_t.grad)


# -- EDM's preconditioning ----------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sigma_data", [0.5, 1.3])
def test_edm_is_skip_and_scaled_output(schedule, sigma_data):
    """``D = c_skip x + c_out F(c_in x)`` at noise level s, written out from table 1."""
    schedule, prediction = make("schedule", schedule), EDM(sigma_data)
    t, (x_t, output) = T.double(), draws().double()
    s = expand(schedule.noise_ratio(t), x_t)
    x = x_t / expand(schedule.alpha(t), x_t)
    c_skip = sigma_data**2 / (s**2 + sigma_data**2)
    c_out = s * sigma_data / (s**2 + sigma_data**2).sqrt()
    c_in = 1 / (s**2 + sigma_data**2).sqrt()
    direct = c_skip * x + c_out * output
    torch.testing.assert_close(prediction.denoised(output, x_t, schedule, t).x0, direct)
    scaled = expand(prediction.input_scale(schedule, t), x_t) * x_t
    torch.testing.assert_close(scaled, c_in * x)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_edm_gives_and_asks_for_variance_one(schedule):
    schedule, prediction, t = make("schedule", schedule), EDM(0.7), T.double()
    p, q = prediction.coefficients(schedule, t)
    one = torch.ones_like(t)
    torch.testing.assert_close((0.7 * p) ** 2 + q**2, one)
    variance = (0.7 * schedule.alpha(t)) ** 2 + schedule.sigma(t) ** 2
    torch.testing.assert_close(prediction.input_scale(schedule, t) ** 2 * variance, one)


def test_edm_is_that_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.EDMEulerScheduler(sigma_data=0.5)
    x_t, output = torch.randn(2, 1, 2, 3, 4, 4)
    schedule, prediction = EDMSchedule(), EDM(0.5)
    for noise_level in (0.002, 0.3, 5.0, 80.0):
        sigma = torch.tensor([noise_level])
        t = schedule.time_at(sigma)
        asked = expand(prediction.input_scale(schedule, t), x_t) * x_t
        torch.testing.assert_close(
            asked, theirs.precondition_inputs(x_t, sigma), atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(
            prediction.denoised(output, x_t, schedule, t).x0,
            theirs.precondition_outputs(x_t, output, sigma),
            atol=1e-5,
            rtol=1e-5,
        )


def test_the_network_sees_scaled_latents_only_where_a_prediction_says_so():
    seen = []
    x_t, t = torch.randn(2, 1, 1, 2, 2), torch.tensor([0.2, 0.6])

    def network(x, time):
        seen.append(x)
        return x

    Objective(EDMSchedule(), EDM()).denoise(network, x_t, t)
    Objective(EDMSchedule(), Epsilon()).denoise(network, x_t, t)
    torch.testing.assert_close(seen[0], x_t / expand(((80 * t) ** 2 + 0.25).sqrt(), x_t))
    assert torch.equal(seen[1], x_t)


def test_edm_refuses_what_is_no_deviation():
    with pytest.raises(ValueError, match="sigma_data must be positive, got 0"):
        EDM(sigma_data=0)
