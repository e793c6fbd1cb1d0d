"""A discriminator that learns beside the autoencoder, by hand."""

import copy
import functools
from functools import partial

import pytest
import torch
from run_tiny import make_adversarial_task, make_autoencoder_task, make_data
from test_resume import assert_same, read, run, steps
from test_tasks import Each, trainer
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import vidiff
from vidiff.autoencoders import Gaussian
from vidiff.checkpoints import read_checkpoint
from vidiff.costs.plan import plan
from vidiff.discriminators import Discriminator, Patch3D
from vidiff.optimizers import AdamW
from vidiff.perceptual import Perceptual
from vidiff.training.autoencoder.adversary import (
    Adversary,
    adaptive_weight,
    gradient_penalty,
    hinge,
)
from vidiff.training.callbacks import SaveCheckpoint


class Linear(Discriminator):
    """One logit for each video, whose gradient is known."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size))

    def forward(self, pixels):
        return torch.einsum("bcfhw,cfhw->b", pixels, self.weight).view(-1, 1, 1, 1, 1)


def make_adversary(discriminator, **settings):
    settings = {"weight": 0.5, "adaptive": True, "r1_weight": 0.0} | settings
    return Adversary(discriminator, AdamW(), **settings)


def scene(size=(3, 2, 4, 4)):
    """Reconstructions that a layer gave, originals, and the other losses."""
    layer = nn.Conv3d(4, 3, 1)
    pixels, reference = layer(torch.randn(2, 4, *size[1:])), torch.randn(2, *size)
    return layer, pixels, reference, F.l1_loss(pixels, reference)


# -- Formulas -----------------------------------------------------------------------------------


def test_hinge():
    real, fake = torch.tensor([2.0, 0.25, -1.0]), torch.tensor([-3.0, 0.5])
    assert hinge(real, fake) == pytest.approx(0.5 * ((0 + 0.75 + 2) / 3 + (0 + 1.5) / 2))
    assert hinge(torch.ones(3), -torch.ones(2)) == 0


def test_gradient_penalty_of_a_linear_discriminator():
    discriminator = Linear((3, 2, 4, 4))
    reference = torch.randn(5, 3, 2, 4, 4, requires_grad=True)
    penalty = gradient_penalty(discriminator(reference), reference)
    torch.testing.assert_close(penalty, 0.5 * discriminator.weight.square().sum())
    penalty.backward()  # |w|^2 / 2 falls along w
    torch.testing.assert_close(discriminator.weight.grad, discriminator.weight.detach())


def test_adaptive_weight_is_a_ratio_of_gradients():
    layer, pixels, _, fidelity = scene()
    adversarial = (3 * pixels).mean()
    found = adaptive_weight(fidelity, adversarial, layer.weight)
    # The layer is linear, so both gradients can be written down.
    inputs = torch.autograd.grad(pixels.sum(), layer.weight, retain_graph=True)[0]
    slopes = torch.autograd.grad(fidelity, pixels, retain_graph=True)[0]
    ours = torch.autograd.grad(pixels, layer.weight, slopes, retain_graph=True)[0]
    theirs = 3 / pixels.numel() * inputs
    assert layer.weight.grad is None
    assert found == pytest.approx(float(ours.norm() / (theirs.norm() + 1e-4)), rel=1e-5)
    assert adaptive_weight(fidelity, 0 * pixels.mean(), layer.weight) == pytest.approx(
        min(1e4, float(ours.norm()) / 1e-4), rel=1e-5
    )
    assert adaptive_weight(1e9 * fidelity, 0 * pixels.mean(), layer.weight) == 1e4


@pytest.mark.parametrize("r1_weight", [0.0, 0.3])
def test_a_step_against_its_definition(r1_weight):
    layer, pixels, reference, fidelity = scene()
    discriminator = Linear((3, 2, 4, 4))
    adversary = make_adversary(discriminator, r1_weight=r1_weight)
    loss, terms = adversary.step(pixels, reference, fidelity, lambda: layer.weight, share=0.5)

    w = discriminator.weight
    real, fake = ((x.detach() * w).sum((1, 2, 3, 4)) for x in (reference, pixels))
    own = 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
    torch.testing.assert_close(terms["discriminator"], own)
    own = own + r1_weight * 0.5 * w.square().sum()
    gradient = torch.autograd.grad(0.5 * own, w)[0]
    torch.testing.assert_close(w.grad, gradient)
    torch.testing.assert_close(terms["adversarial"], -fake.mean())
    torch.testing.assert_close(loss, -0.5 * terms["adaptive_weight"] * fake.mean())

    loss.backward()  # reaches what gave the pixels, and not the discriminator
    assert layer.weight.grad.any()
    torch.testing.assert_close(w.grad, gradient)
    assert w.requires_grad


def test_without_adaptive_weight_the_weight_is_the_weight():
    layer, pixels, reference, fidelity = scene()
    adversary = make_adversary(Patch3D(width=4, depth=1), adaptive=False)
    loss, terms = adversary.step(pixels, reference, fidelity, lambda: layer.weight)
    torch.testing.assert_close(loss, 0.5 * terms["adversarial"])
    assert "adaptive_weight" not in terms


@pytest.mark.parametrize(("name", "error"), [("l1", torch.abs), ("l2", torch.square)])
def test_error_of_pixels(name, error):
    task = make_autoencoder_task(reconstruction=name)
    a, b = torch.randn(2, 2, 3, 1, 4, 4)
    torch.testing.assert_close(task.distances(a, b)["reconstruction"], error(a - b).mean())


def test_free_bits_are_free():
    """A channel whose divergence is below the threshold costs the threshold, and pulls nothing."""
    mean = torch.zeros(2, 2, 1, 4, 4)
    mean[:, 1] = 2.0
    mean.requires_grad_()
    posterior = Gaussian(mean, torch.full_like(mean, -0.1))
    threshold = 0.5 * torch.log(torch.tensor(2.0))
    costs = 0.5 * (torch.tensor([0.0, 4.0]) + torch.tensor(-0.1).exp() - 1 + 0.1)
    assert float(posterior.kl().detach()) == pytest.approx(float(costs.mean()), rel=1e-5)
    kl = posterior.kl(free_bits=0.5)
    torch.testing.assert_close(kl, torch.stack([threshold, costs[1]]).mean())
    kl.backward()
    assert not mean.grad[:, 0].any()
    assert mean.grad[:, 1].all()


class Blurred(Perceptual):
    """The distance of videos' means, by a network of one weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, pixels, reference):
        return self.weight * (pixels - reference).mean((1, 2, 3, 4)).square()


def test_the_loss_is_the_sum_of_its_terms(tmp_path):
    task = make_adversarial_task(
        adversarial_start=0, adversarial_weight=0.3, r1_weight=0.2, kl_weight=0.05,
        perceptual=Blurred, perceptual_weight=0.7,
    )  # fmt: skip
    fit = trainer(tmp_path, max_steps=2)
    fit.fit(task, make_data())
    terms = {k.removeprefix("train/"): float(v) for k, v in fit.logged_metrics.items()}
    adversarial = 0.3 * terms["adaptive_weight"] * terms["adversarial"]
    perceived = 0.7 * terms["perceptual"] + 0.05 * terms["kl"] + adversarial
    assert terms["loss"] == pytest.approx(terms["reconstruction"] + perceived, rel=1e-5)
    assert terms["adversarial"] == pytest.approx(-terms["logits_fake"], rel=1e-5)
    assert terms["r1"] > 0
    assert float(task.perceptual.module.weight) == 2.0  # it is used, and neither trained nor saved
    saved = read(tmp_path / "checkpoints" / "last.ckpt")["state_dict"]
    assert {name.split(".")[0] for name in saved} == {"autoencoder", "adversary"}


def test_a_plan_needs_no_backward_pass():
    costs = plan(make_adversarial_task(adversarial_start=0), clip=(3, 16, 16), batch_size=2)
    assert costs.parts["adversary"].trained > 0
    assert costs.flops > plan(make_autoencoder_task(), clip=(3, 16, 16), batch_size=2).flops


# -- Training -----------------------------------------------------------------------------------


def discriminator_weights(task):
    return copy.deepcopy(task.adversary.discriminator.state_dict())


def changed(before, task):
    return any(not torch.equal(v, before[k]) for k, v in discriminator_weights(task).items())


def test_begins_late_and_counts_one_step(tmp_path):
    task, seen = make_adversarial_task(adversarial_start=3, adversarial_weight=0.0), []
    task.configure_model()
    before = discriminator_weights(task)

    def look(trainer, task):
        state = task.adversary.optimizer.state_dict()["state"]
        taken = int(state[0]["step"]) if state else 0
        seen.append((trainer.global_step, taken, changed(before, task)))

    run = trainer(tmp_path, callbacks=[Each(look)])
    run.fit(task, make_data())
    assert seen == [(n, max(0, n - 3), n > 3) for n in range(1, 7)]
    plain = make_autoencoder_task()  # a weight of zero, and the discriminator changes nothing
    trainer(tmp_path / "plain").fit(plain, make_data())
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(task.state_dict()[name], value, msg=name)


def test_learning_rate_follows_the_schedule(tmp_path):
    rates = []

    def look(trainer, task):
        rates.append(task.adversary.optimizer.param_groups[0]["lr"])

    task = make_adversarial_task(
        adversarial_start=0, discriminator_optimizer=partial(AdamW, lr=0.01), decay_fraction=0.5
    )
    trainer(tmp_path, callbacks=[Each(look)]).fit(task, make_data())
    schedule = task.lr_schedule()
    assert rates == pytest.approx([0.01 * schedule(step) for step in range(6)])
    assert rates[0] == pytest.approx(0.005)  # two steps of warming up
    assert rates[-1] < 0.005


def test_accumulated_batches_are_one_large_batch(tmp_path):
    """Without norms over the batch, gradients of two halves are those of the whole."""
    found = []
    for accumulate in (1, 2):
        task = make_adversarial_task(
            adversarial_start=0, adaptive_weight=False, adversarial_weight=0.0,
            discriminator_optimizer=partial(AdamW, lr=0.01, eps=1e-3), kl_weight=0.0,
        )  # fmt: skip
        task.configure_model()
        # What is compared is the discriminator: the same reconstructions, whatever is drawn.
        task.autoencoder.decoder.requires_grad_(False)
        for parameter in task.autoencoder.decoder.parameters():
            parameter.zero_()
        run = trainer(tmp_path, max_steps=1, accumulate_grad_batches=accumulate)
        run.fit(task, make_data(8 // accumulate, world_size=accumulate))  # of the same clips
        found.append(discriminator_weights(task))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped(tmp_path, algorithm):
    task = make_adversarial_task(
        adversarial_start=0, discriminator_optimizer=partial(AdamW, lr=1.0, eps=1e3)
    )
    task.configure_model()
    before = discriminator_weights(task)
    limit = 1e-3
    run = trainer(tmp_path, max_steps=1, gradient_clip_val=limit, gradient_clip_algorithm=algorithm)
    run.fit(task, make_data())
    # With so large an eps a step is the gradient / 1000, halved by the schedule's first step.
    moved = torch.cat([(v - before[k]).flatten() for k, v in discriminator_weights(task).items()])
    size = moved.norm() if algorithm == "norm" else moved.abs().max()
    assert float(size) == pytest.approx(limit / 1e3 / 2, rel=0.02)


def test_bfloat16_trains_and_float16_is_refused(tmp_path):
    task = make_adversarial_task(r1_weight=0.1)
    run = trainer(tmp_path, max_steps=3, precision="bf16-mixed")
    run.fit(task, make_data())
    assert run.logged_metrics["train/discriminator"].isfinite()
    with pytest.raises(ValueError, match=r"16-true.*bf16-mixed"):
        trainer(tmp_path, precision="16-true").fit(make_adversarial_task(), make_data())


@pytest.mark.parametrize("norm", ["group", "spectral"])
def test_resumed_equals_uninterrupted(tmp_path, norm):
    make = partial(
        make_adversarial_task, ema_decay=0.9, decay_fraction=0.0,
        discriminator=partial(Patch3D, width=8, depth=2, norm=norm),
    )  # fmt: skip
    whole, half = tmp_path / "whole", tmp_path / "half"
    save = partial(SaveCheckpoint, every_n_steps=3, keep_all=True)
    trainer(whole, max_steps=6, callbacks=[save()]).fit(make(), make_data())
    trainer(half, max_steps=3, callbacks=[save()]).fit(make(), make_data())
    last = half / "checkpoints" / "last.ckpt"
    resumed = trainer(half, max_steps=6, callbacks=[save()])
    resumed.fit(make(), make_data(), ckpt_path=str(last), weights_only=True)
    a, b = read(whole / "checkpoints" / "last.ckpt"), read(last)
    assert a["adversary"]["state"]
    for part in ("state_dict", "adversary", "optimizer_states"):
        assert_same(a[part], b[part], part)
    assert vidiff.load(last).adversary is not None


def test_counts_what_the_discriminator_takes():
    plain, adversarial = make_autoencoder_task(), make_adversarial_task()
    data = make_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    for task in (plain, adversarial):
        task.configure_model()
        task.train()
    difference = adversarial.count_flops(batch) - plain.count_flops(batch)
    with FlopCounterMode(display=False) as counter:
        real, fake = batch.pixels, batch.pixels.clone().requires_grad_()
        discriminator = adversarial.adversary.discriminator
        hinge(discriminator(real), discriminator(fake.detach())).backward()
        discriminator.requires_grad_(False)
        discriminator(fake).sum().backward()
    # The first layer's gradient to pixels is not needed while the discriminator learns.
    assert difference == pytest.approx(counter.get_total_flops(), rel=0.1)
    assert adversarial.adversary.training


# -- Several processes --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    @functools.cache
    def make(strategy):
        folder = tmp_path_factory.mktemp(strategy)
        run(folder, "--adversarial", "--strategy", strategy, "--devices", 2)
        return folder

    return make


@pytest.mark.parametrize(
    "strategy", ["ddp", "sharded", pytest.param("sharded_folder", marks=pytest.mark.slow)]
)
def test_two_processes_train_in_step_and_resume(tmp_path, whole_run, strategy):
    folder = whole_run(strategy)
    half = folder / "checkpoints" / "step_00000006.ckpt"
    run(tmp_path, "--adversarial", "--strategy", strategy, "--devices", 2, "--ckpt", half)
    whole, resumed = steps(folder), steps(tmp_path)
    assert set(whole) == {(step, rank) for step in range(1, 11) for rank in (0, 1)}
    assert resumed == {key: line for key, line in whole.items() if key[0] > 6}
    assert all(whole[n, 0]["discriminator"] == whole[n, 1]["discriminator"] for n in range(1, 11))
    assert len({line["discriminator"] for line in whole.values()}) == 10  # it begins at step 1
    assert whole[5, 0]["loss"] != whole[5, 1]["loss"]
    a, b = (read_checkpoint(f / "checkpoints" / "last.ckpt") for f in (folder, tmp_path))
    assert_same(a["state_dict"], b["state_dict"])
    assert_same(a["adversary"], b["adversary"])
    assert vidiff.load(tmp_path / "checkpoints" / "last.ckpt").ema is not None


def test_sharded_weights_have_no_adaptive_weight():
    task = make_adversarial_task()
    task._device_mesh = object()
    with pytest.raises(ValueError, match="adaptive_weight to false"):
        task.configure_model()
