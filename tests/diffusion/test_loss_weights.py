"""Loss weights against the formulas of their papers."""

import math

import pytest
import torch

from vidiff.diffusion.loss_weights import Constant, Likelihood, MinSNR
from vidiff.diffusion.predictions import EDM, Epsilon, Flow, Sample, Score, Velocity
from vidiff.diffusion.schedules import EDM as EDMSchedule
from vidiff.diffusion.schedules import VP, Cosine, LinearBeta, Rectified

T = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
HALF_DIFFUSION = {
    Rectified: T / (1 - T),
    Cosine: math.pi / 2 * (math.pi / 2 * T).tan(),
    VP: (0.1 + 19.9 * T) / 2,
}
"""``g^2 / 2`` of SiT's three interpolants, solved by hand; what its code calls drift_var."""


def test_min_snr_has_the_weights_of_the_paper():
    """Hang et al. 2023: min(snr, g) for x_0, over snr for noise, over snr + 1 for velocity."""
    schedule, weight = LinearBeta(), MinSNR(gamma=5.0)
    snr = schedule.snr(T)
    bounded = snr.clamp(max=5.0)
    torch.testing.assert_close(weight(schedule, Sample(), T), bounded)
    torch.testing.assert_close(weight(schedule, Epsilon(), T), bounded / snr)
    torch.testing.assert_close(weight(schedule, Velocity(), T), bounded / (snr + 1))
    with pytest.raises(ValueError, match="gamma must be positive, got 0"):
        MinSNR(gamma=0)


def test_constant_measured_on_flow_is_the_error_of_the_flow():
    schedule = Rectified()
    weight = Constant(measured_on=Flow, largest=1e9)(schedule, Sample(), T)
    torch.testing.assert_close(weight, 1 / T.square())
    assert Constant(measured_on=Flow, largest=9.0)(schedule, Sample(), T).max() == 9
    with pytest.raises(ValueError, match="largest must be positive, got 0"):
        Constant(measured_on=Flow, largest=0)


@pytest.mark.parametrize("cls", list(HALF_DIFFUSION))
def test_measured_on_epsilon_is_the_score_loss_without_weight_of_sit(cls):
    """``(sigma output + noise)^2``."""
    schedule, noise, output = cls(), torch.randn_like(T), torch.randn_like(T)
    error = output - Score().target(torch.zeros_like(T), noise, schedule, T)
    weight = Constant(measured_on=Epsilon)(schedule, Score(), T)
    torch.testing.assert_close(
        weight * error.square(), (output * schedule.sigma(T) + noise).square()
    )


@pytest.mark.parametrize("cls", list(HALF_DIFFUSION))
def test_measured_on_flow_is_the_velocity_weight_of_sit(cls):
    """``(g^2 / (2 sigma))^2`` on the error of the noise."""
    schedule = cls()
    weight = Constant(measured_on=Flow, largest=1e12)
    on_noise = (HALF_DIFFUSION[cls] / schedule.sigma(T)).square()
    torch.testing.assert_close(weight(schedule, Epsilon(), T), on_noise)
    on_score = on_noise * schedule.sigma(T).square()
    torch.testing.assert_close(weight(schedule, Score(), T), on_score)


@pytest.mark.parametrize("cls", list(HALF_DIFFUSION))
def test_likelihood_is_the_weight_of_the_bound(cls):
    """``g^2 / (2 sigma^2)`` on the error of the noise, ``g^2 / 2`` on that of the score."""
    schedule = cls()
    on_score = HALF_DIFFUSION[cls]
    torch.testing.assert_close(Likelihood()(schedule, Score(), T), on_score)
    on_noise = on_score / schedule.sigma(T).square()
    torch.testing.assert_close(Likelihood()(schedule, Epsilon(), T), on_noise)


def test_likelihood_is_half_the_fall_of_the_snr_on_the_sample():
    """Kingma et al. 2021: the slope of the signal-to-noise ratio, by automatic differentiation."""
    t = T.clone().requires_grad_()
    VP().snr(t).sum().backward()
    torch.testing.assert_close(Likelihood()(VP(), Sample(), T), -t.grad / 2)


def test_an_unweighted_error_of_edm_has_the_weight_of_the_paper():
    """``(s^2 + d^2) / (s d)^2`` on the error of the clean latents (Karras et al. 2022, table 1)."""
    schedule, s = EDMSchedule(), 80 * T
    scale = EDM(sigma_data=0.5).error_scale(schedule, T)
    torch.testing.assert_close(scale.square(), (s**2 + 0.25) / (s * 0.5) ** 2)
