"""The objective: any schedule with any prediction and any loss weight."""

import pytest
import torch

from vidiff.diffusion import Objective
from vidiff.diffusion.predictions import Epsilon, Sample
from vidiff.diffusion.schedules import LinearBeta, Rectified
from vidiff.diffusion.variance import variational_loss
from vidiff.registry import get_component, list_components

SCHEDULES, PREDICTIONS = list_components("schedule"), list_components("prediction")
LOSS_WEIGHTS = list_components("loss_weight")


def make(kind: str, name: str):
    return get_component(kind, name).cls()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("loss_weight", LOSS_WEIGHTS)
def test_the_loss_is_finite_at_both_margins(schedule, prediction, loss_weight):
    parts = [("schedule", schedule), ("prediction", prediction)]
    objective = Objective(
        *(make(*part) for part in parts), loss_weight=make("loss_weight", loss_weight)
    )
    loss = objective.loss(
        lambda x, t: torch.zeros_like(x), torch.randn(2, 1, 2, 3, 3), t=torch.tensor([0.0, 1.0])
    )
    torch.testing.assert_close(loss.t, torch.tensor(objective.schedule.margins))
    assert loss.weighted.isfinite().all()
    assert (loss.unweighted > 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_any_answer_is_read_as_finite_latents_at_both_ends(schedule, prediction):
    objective = Objective(make("schedule", schedule), make("prediction", prediction))
    asked = []

    def network(x, t):
        asked.append(t)
        return torch.zeros_like(x)

    denoised = objective.denoise(network, torch.randn(2, 1, 2, 3, 3), torch.tensor([0.0, 1.0]))
    assert denoised.x0.isfinite().all()
    assert denoised.noise.isfinite().all()
    assert denoised.variance is None
    assert asked[0].isfinite().all()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_network_that_knows_the_answer_denoises(schedule, prediction):
    objective = Objective(make("schedule", schedule), make("prediction", prediction))
    t = torch.linspace(0.05, 0.95, 19)
    sample, noise = torch.randn(2, 19, 2, 3, 4, 4)
    x_t = objective.noised(sample, noise, t)
    target = objective.prediction.target(sample, noise, objective.schedule, t)
    denoised = objective.denoise(lambda x, time: target, x_t, t)
    for found, true in ((denoised.x0, sample), (denoised.noise, noise)):
        error = (found - true).flatten(1).norm(dim=1) / true.flatten(1).norm(dim=1)
        assert error.max() < 1e-3


def test_loss_of_a_network_that_knows_is_zero_and_per_clip():
    objective = Objective(Rectified(), Sample())
    latents = torch.randn(6, 2, 3, 4, 4)
    loss = objective.loss(lambda x, t: latents, latents)
    assert loss.weighted.shape == loss.unweighted.shape == loss.t.shape == (6,)
    assert loss.weighted.abs().max() == 0
    assert objective.loss(lambda x, t: latents + 2, latents).unweighted.allclose(torch.tensor(4.0))


def test_times_that_are_given_are_used_within_the_margins():
    objective = Objective()
    loss = objective.loss(
        lambda x, t: x, torch.randn(3, 1, 1, 2, 2), t=torch.tensor([0.0, 0.5, 1.0])
    )
    torch.testing.assert_close(loss.t, torch.tensor([0.001, 0.5, 0.999]))


# -- Learned variance ---------------------------------------------------------------------------


def test_a_variance_needs_discrete_steps():
    with pytest.raises(ValueError, match="got Rectified with 0; linear_beta has them"):
        Objective(learn_variance=True)
    with pytest.raises(ValueError, match="at least 2 discrete steps, got LinearBeta with 1"):
        Objective(LinearBeta(num_steps=1), learn_variance=True)


def test_a_learned_variance_is_handed_on():
    objective = Objective(LinearBeta(), Epsilon(), learn_variance=True)
    x_t, said = torch.randn(2, 3, 2, 2, 2), torch.randn(2, 6, 2, 2, 2)
    denoised = objective.denoise(lambda x, t: said, x_t, torch.tensor([0.3, 0.7]))
    assert torch.equal(denoised.variance, said[:, 3:])
    plain = Objective(LinearBeta(), Epsilon()).denoise(
        lambda x, t: said[:, :3], x_t, torch.tensor([0.3, 0.7])
    )
    assert torch.equal(denoised.x0, plain.x0)


def test_the_bound_trains_the_variance_and_nothing_else():
    """The hybrid loss: the prediction's gradient is that of the squared error alone."""
    latents, noise = torch.randn(2, 4, 3, 2, 2, 2)
    t = torch.tensor([0.001, 0.002, 0.5, 1.0])
    said = torch.randn(4, 6, 2, 2, 2, requires_grad=True)
    hybrid = Objective(LinearBeta(), Epsilon(), learn_variance=True)
    loss = hybrid.loss(lambda x, time: said, latents, t, noise)
    loss.weighted.sum().backward()
    prediction = said[:, :3].detach().requires_grad_()
    plain = Objective(LinearBeta(), Epsilon()).loss(lambda x, time: prediction, latents, t, noise)
    plain.weighted.sum().backward()
    torch.testing.assert_close(said.grad[:, :3], prediction.grad)
    torch.testing.assert_close(loss.unweighted, plain.unweighted)
    assert said.grad.isfinite().all()
    assert (said.grad[:, 3:].flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("num_steps", [1000, 250])
def test_a_thousandth_of_the_bound_is_added(num_steps):
    """For DDPM's 1000 steps that is the drawn step's own term, as in DiT's loss."""
    schedule = LinearBeta(num_steps)
    latents, noise = torch.randn(2, 3, 2, 2, 3, 3)
    said, t = torch.randn(3, 4, 2, 3, 3), torch.tensor([0.2, 0.5, 0.9])
    hybrid = Objective(schedule, Epsilon(), learn_variance=True)
    loss = hybrid.loss(lambda x, time: said, latents, t, noise)
    x_t = hybrid.noised(latents, noise, t)
    estimate = Epsilon().denoised(said[:, :2], x_t, schedule, t).x0
    bound = variational_loss(latents, estimate, said[:, 2:], x_t, schedule, t)
    torch.testing.assert_close(loss.weighted - loss.unweighted, bound * num_steps / 1000)
