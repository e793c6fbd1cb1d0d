"""The objective: any schedule with any prediction and any loss weight."""

import math

import pytest
import torch

from vidiff.diffusion import Objective
from vidiff.diffusion.loss_weights import MinSNR
from vidiff.diffusion.predictions import Epsilon, Flow, Sample
from vidiff.diffusion.schedules import EDM, LinearBeta, Rectified
from vidiff.diffusion.time_samplers import PerFrame
from vidiff.diffusion.variance import variational_loss
from vidiff.registry import get_component, list_components
from vidiff.types import Known

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


# -- What is known, and times of frames -----------------------------------------------------------


def partly_known(latents):
    """The first frame of clip 0; of clip 1 the last frame, and half of the others."""
    mask = torch.zeros(2, 1, *latents.shape[2:])
    mask[0, :, 0] = 1
    mask[1, :, -1] = 1
    mask[1, ..., :1] = 1
    return Known(torch.where(mask > 0, latents, math.nan), mask)


@pytest.mark.parametrize(
    ("schedule", "prediction"),
    [(Rectified(), Flow()), (LinearBeta(), Epsilon()), (EDM(), Sample())],
)
def test_what_is_known_is_clean_at_no_time_and_the_error_is_that_of_the_rest(schedule, prediction):
    objective = Objective(schedule, prediction, loss_weight=MinSNR())
    latents, noise = torch.randn(2, 2, 3, 4, 2, 2)
    known, t, asked = partly_known(latents), torch.tensor([0.3, 0.6]), []

    def network(x, time):
        asked.append((x, time))
        return torch.full_like(x, 0.3)

    loss = objective.loss(network, latents, t, noise, known)
    (x, times), given = asked[0], known.mask.expand_as(latents) > 0
    assert torch.equal(x[given], latents[given])
    assert torch.equal(x[~given], objective.noised(latents, noise, t)[~given])
    of_frames = t[:, None].repeat(1, 4)
    of_frames[0, 0] = of_frames[1, 3] = schedule.margins[0]
    assert torch.equal(times, schedule.network_time(of_frames))
    assert torch.equal(loss.t, t)

    squares = (0.3 - prediction.target(latents, noise, schedule, t)).square()
    expected = torch.stack([squares[clip][~given[clip]].mean() for clip in range(2)])
    torch.testing.assert_close(loss.unweighted, expected)
    weight = MinSNR()(schedule, prediction, t)
    torch.testing.assert_close(loss.weighted, weight * expected)


def test_no_known_part_changes_nothing_and_nothing_but_known_parts_is_no_error():
    objective = Objective()
    latents, noise = torch.randn(2, 3, 2, 3, 2, 2)
    t, mask = torch.tensor([0.2, 0.5, 0.8]), torch.zeros(3, 1, 3, 2, 2)
    plain = objective.loss(lambda x, time: x, latents, t, noise)
    none = objective.loss(lambda x, time: x, latents, t, noise, Known(latents, mask))
    torch.testing.assert_close(none.weighted, plain.weighted)
    torch.testing.assert_close(none.unweighted, plain.unweighted)
    everything = objective.loss(lambda x, time: x, latents, t, noise, Known(latents, mask + 1))
    assert everything.weighted.tolist() == everything.unweighted.tolist() == [0, 0, 0]


def test_a_learned_variance_refuses_known_parts():
    objective = Objective(LinearBeta(), Epsilon(), learn_variance=True)
    latents = torch.randn(2, 3, 4, 2, 2)
    with pytest.raises(ValueError, match="learn_variance bounds the likelihood of whole clips"):
        objective.loss(lambda x, t: x.repeat(1, 2, 1, 1, 1), latents, known=partly_known(latents))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("loss_weight", LOSS_WEIGHTS)
def test_frames_of_one_time_are_as_one_time(schedule, prediction, loss_weight):
    parts = [make("schedule", schedule), make("prediction", prediction)]
    objective = Objective(*parts, loss_weight=make("loss_weight", loss_weight))
    latents, noise = torch.randn(2, 3, 2, 4, 2, 2)
    t = torch.tensor([0.0, 0.4, 0.9])

    def network(x, time):
        scale = objective.schedule.network_times[-1]
        return x.tanh() + (time / (scale or 1.0)).view(3, 1, -1, 1, 1)

    one = objective.loss(network, latents, t, noise)
    each = objective.loss(network, latents, t[:, None].expand(-1, 4), noise)
    torch.testing.assert_close(each.weighted, one.weighted)
    torch.testing.assert_close(each.unweighted, one.unweighted)
    assert each.t.shape == (3, 4)


def test_each_frame_is_noised_weighed_and_read_by_its_own_time():
    objective = Objective(LinearBeta(), Epsilon(), PerFrame(), MinSNR())
    latents, noise, said = torch.randn(3, 2, 3, 4, 2, 2)
    asked = []
    loss = objective.loss(lambda x, t: asked.append((x, t)) or said, latents, noise=noise)
    (x, time), t = asked[0], loss.t
    assert t.shape == (2, 4)
    assert torch.equal(time, objective.schedule.network_time(t))
    frames = range(4)
    by_frame = [
        objective.loss(
            lambda x, _, f=f: said[:, :, f : f + 1],
            latents[:, :, f : f + 1], t[:, f], noise[:, :, f : f + 1],
        )
        for f in frames
    ]  # fmt: skip
    for name in ("weighted", "unweighted"):
        mean = torch.stack([getattr(one, name) for one in by_frame]).mean(0)
        torch.testing.assert_close(getattr(loss, name), mean)
    denoised = objective.denoise(lambda x, t: said, x, t)
    for f in frames:
        one = objective.denoise(lambda x, t, f=f: said[:, :, [f]], x[:, :, [f]], t[:, f])
        torch.testing.assert_close(denoised.x0[:, :, [f]], one.x0)
        torch.testing.assert_close(denoised.noise[:, :, [f]], one.noise)


def test_a_learned_variance_of_frames_with_times_of_their_own():
    objective = Objective(LinearBeta(), Epsilon(), learn_variance=True)
    latents, noise = torch.randn(2, 2, 3, 4, 2, 2)
    said, t = torch.randn(2, 6, 4, 2, 2), torch.tensor([0.001, 0.6])
    one = objective.loss(lambda x, time: said, latents, t, noise)
    each = objective.loss(lambda x, time: said, latents, t[:, None].expand(-1, 4), noise)
    torch.testing.assert_close(each.weighted, one.weighted)
