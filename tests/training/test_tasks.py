import copy
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from run_tiny import make_data, make_task

from vidiff.autoencoders import CausalKL, Trained
from vidiff.conditions import Frames, Words
from vidiff.denoisers import DiT, compile_blocks
from vidiff.patchifiers import Tubelet
from vidiff.training import AutoencoderTask, DiffusionTask
from vidiff.training.callbacks import SaveCheckpoint
from vidiff.training.data import VideoDataModule
from vidiff.training.task import trapezoid
from vidiff.training.trainer import VidiffTrainer


def trainer(folder, **settings):
    settings = {"max_steps": 6, "gradient_clip_val": 1.0, "limit_val_batches": 0} | settings
    settings = {"precision": "32-true"} | settings
    return VidiffTrainer(
        accelerator="cpu", default_root_dir=folder, logger=False, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=2, num_sanity_val_steps=0, **settings,
    )  # fmt: skip


class Each(Callback):
    """Calls a function after each step, before other callbacks are asked."""

    def __init__(self, function):
        self.function = function

    def on_train_batch_end(self, trainer, task, *_):
        self.function(trainer, task)


def autoencoder_task(**settings):
    autoencoder = partial(CausalKL, latent_channels=4, folds=[(2, 4, 4)], width=[16], depth=1)
    return AutoencoderTask(autoencoder=autoencoder, warmup_steps=2, **settings)


@pytest.fixture(scope="module")
def autoencoder_checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoencoder")
    trainer(folder, max_steps=40).fit(autoencoder_task(ema_decay=0.9), make_data(8))
    return folder / "checkpoints" / "last.ckpt"


def latent_task(checkpoint):
    return DiffusionTask(
        autoencoder=partial(Trained, checkpoint=str(checkpoint)),
        denoiser=partial(
            DiT, width=32, depth=2, num_heads=2, patchifier=partial(Tubelet, patch_size=(1, 2, 2))
        ),
        conditions={"text": partial(Words, text_dim=16, depth=1, num_rows=64)},
    )


def test_learning_lowers_the_held_out_loss(tmp_path):
    task, data = make_task(), make_data(batch_size=16)
    before = trainer(tmp_path / "a", limit_val_batches=1.0).validate(task, data, verbose=False)[0]
    trainer(tmp_path / "b", max_steps=60).fit(task, data)
    after = trainer(tmp_path / "c", limit_val_batches=1.0).validate(task, data, verbose=False)[0]
    assert after["val/loss"] < 0.85 * before["val/loss"]
    quarters = [after[f"val/loss_t{k}-{k + 25}"] for k in (0, 25, 50, 75)]
    assert after["val/loss"] == pytest.approx(sum(quarters) / 4, rel=1e-5)


def test_held_out_loss_depends_on_clips_alone(tmp_path):
    """Its noise belongs to the clip: neither the batch nor what was drawn before changes it."""
    task = make_task()
    losses = []
    for batch_size in (2, 5):
        torch.manual_seed(batch_size)
        data = make_data(batch_size)
        losses += trainer(tmp_path, limit_val_batches=1.0).validate(task, data, verbose=False)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_average_follows_its_definition(tmp_path):
    task = make_task()
    task.configure_model()
    expected = {
        name: p.detach().clone()
        for part, module in task.trained_parts().items()
        for name, p in module.named_parameters(prefix=part)
    }

    def follow(trainer, task):
        step = trainer.global_step - 1
        decay = min(0.998, (1 + step) / (10 + step))
        for name in expected:
            new = task.get_parameter(name).detach()
            expected[name] = decay * expected[name] + (1 - decay) * new

    trainer(tmp_path, callbacks=[Each(follow)]).fit(task, make_data())
    for name, value in expected.items():
        torch.testing.assert_close(task.ema.get_parameter(name), value)
    words = task.conditions["text"]
    assert torch.equal(task.ema["conditions"]["text"].met, words.met)
    assert words.met.any()


def test_no_average_samples_with_the_weights_themselves(tmp_path):
    task = make_task()
    task.ema_decay = 0.0
    trainer(tmp_path).fit(task, make_data())
    assert task.ema is None
    task.train()
    a = task.sample(["x"], num_steps=2)
    assert task.training
    assert task.denoiser.training
    assert torch.equal(a, task.eval().sample(["x"], num_steps=2))


def test_frozen_parts_stay_as_they_are(tmp_path, autoencoder_checkpoint):
    task = latent_task(autoencoder_checkpoint)
    task.configure_model()
    before = copy.deepcopy(task.autoencoder.state_dict())
    modes = []
    check = Each(lambda _, t: modes.append((t.autoencoder.training, t.denoiser.training)))
    run = trainer(tmp_path, callbacks=[check])
    run.fit(task, make_data())
    assert set(modes) == {(False, True)}
    for name, value in task.autoencoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    trained = {id(p) for group in run.optimizers[0].param_groups for p in group["params"]}
    assert trained == {id(p) for part in task.trained_parts().values() for p in part.parameters()}
    assert not any("autoencoder" in name for name in task.ema.state_dict())


def test_a_frozen_condition_is_not_trained(tmp_path):
    class Still(Words):
        frozen = True

    task = make_task()
    still = partial(Still, text_dim=16, depth=1, num_rows=64)
    task.factories = replace(task.factories, conditions={"text": still})
    task.configure_model()
    before = copy.deepcopy(task.conditions["text"].state_dict())
    trainer(tmp_path).fit(task, make_data())
    assert set(task.ema) == {"denoiser"}
    after = task.conditions["text"].state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())


@pytest.mark.parametrize(("dropout", "expected"), [(0.0, ["a", "b"]), (1.0, ["", ""])])
def test_captions_that_are_dropped_are_read_as_empty_ones(dropout, expected):
    task = DiffusionTask(**make_task_arguments(), condition_dropout=dropout)
    task.configure_model()
    signals = task.model.signals({"caption": ["a", "b"]}, task.dropout.draw(2))
    assert torch.equal(signals["text"].tokens, task.conditions["text"].read(expected).tokens)


def test_learning_rate_is_a_trapezoid(tmp_path):
    rates = []
    note = Each(lambda t, _: rates.append(t.optimizers[0].param_groups[-1]["lr"]))
    task = DiffusionTask(
        **make_task_arguments(), warmup_steps=2, decay_fraction=0.5, final_lr_fraction=0.1
    )
    trainer(tmp_path, max_steps=8, callbacks=[note]).fit(task, make_data())
    # LambdaLR has stepped once more by the time the callback looks.
    factors = [1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.1]
    assert rates == pytest.approx([2e-3 * factor for factor in factors])
    assert trapezoid(0, 8, 2, 0.5, 0.1) == 0.5


def make_task_arguments():
    task = make_task()
    return {"denoiser": task.factories.denoiser, "conditions": task.factories.conditions}


def test_decay_needs_an_end(tmp_path):
    with pytest.raises(ValueError, match=r"decay_fraction=0\.4 needs to know where training ends"):
        trainer(tmp_path, max_steps=-1, max_epochs=-1).fit(make_task(), make_data())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"decay_fraction": 1.5}, "decay_fraction"),
        ({"warmup_steps": -1}, "warmup_steps"),
        ({"condition_dropout": 2.0}, "condition_dropout"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DiffusionTask(**settings)


def test_a_bad_loss_stops_training_and_keeps_the_last_good_checkpoint(tmp_path):
    class Spoil(Callback):
        def on_train_batch_start(self, trainer, task, batch, batch_idx):
            if trainer.global_step == 4:
                batch.pixels[0] = math.nan

    run = trainer(tmp_path, max_steps=50, callbacks=[Spoil(), SaveCheckpoint(every_n_steps=1)])
    with pytest.raises(FloatingPointError, match="loss was not finite at step 4"):
        run.fit(make_task(), make_data())
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_gradient_accumulation_averages_over_the_large_batch(tmp_path):
    """EMA and schedule count optimizer steps, not batches."""
    task = make_task()
    run = trainer(tmp_path, max_steps=3, accumulate_grad_batches=2)
    run.fit(task, make_data())
    assert run.global_step == 3
    assert run.lr_scheduler_configs[0].scheduler.last_epoch == 3


def test_compiled_denoiser_keeps_the_names_of_weights():
    task, compiled = make_task(), make_task()
    compiled.compile_denoiser = True
    task.configure_model()
    compiled.configure_model()
    for part in (compiled.denoiser, compiled.ema["denoiser"]):
        assert all(block._compiled_call_impl is not None for block in part.blocks)
    assert compiled.denoiser._compiled_call_impl is None
    assert task.state_dict().keys() == compiled.state_dict().keys()


def test_a_compiled_denoiser_trains_resumes_validates_and_samples_as_it_would(
    tmp_path, monkeypatch
):
    count = []

    def backend(graph, inputs):
        count.append(1)
        return graph.forward

    torch._dynamo.reset()
    in_place = partial(compile_blocks, backend=backend, fullgraph=True)
    monkeypatch.setattr("vidiff.training.diffusion.task.compile_blocks", in_place)
    found = []
    for compiled in (False, True):
        task, folder = make_task(), tmp_path / str(compiled)
        task.compile_denoiser = compiled
        trainer(folder, max_steps=3, limit_val_batches=1).fit(task, make_data())
        again = make_task()
        again.compile_denoiser = compiled
        last = str(folder / "checkpoints" / "last.ckpt")
        trainer(folder, max_steps=5).fit(again, make_data(), ckpt_path=last)
        found.append((again.state_dict(), again.sample(["a", "b c d"], num_steps=2)))
    torch.testing.assert_close(*found)
    assert 2 <= len(count) <= 6  # with gradients and without, for one size and for any
    torch._dynamo.reset()


def test_autoencoder_learns(tmp_path):
    task, data = autoencoder_task(), make_data(16)
    before = trainer(tmp_path / "a", limit_val_batches=1.0).validate(task, data, verbose=False)[0]
    trainer(tmp_path / "b", max_steps=80).fit(task, data)
    after = trainer(tmp_path / "c", limit_val_batches=1.0).validate(task, data, verbose=False)[0]
    assert after["val/psnr"] > before["val/psnr"] + 3
    assert after["val/loss"] < before["val/loss"]


def test_trained_reads_averaged_weights(autoencoder_checkpoint):
    saved = torch.load(autoencoder_checkpoint, weights_only=True)
    part = Trained(checkpoint=str(autoencoder_checkpoint))
    for name, value in part.inner.state_dict().items():
        assert torch.equal(value, saved["state_dict"][f"ema.autoencoder.{name}"])
    assert (part.latent_channels, part.compression) == (4, (2, 4, 4))
    assert not any(p.requires_grad for p in part.parameters())
    pixels = make_data().dataset("val")[0].pixels[None]
    assert part.decode(part.encode(pixels)).shape == pixels.shape


def test_trained_latents_have_unit_variance(autoencoder_checkpoint):
    dataset = make_data().dataset("val")
    pixels = torch.stack([dataset[i].pixels for i in range(len(dataset))])
    part = Trained(checkpoint=str(autoencoder_checkpoint))
    assert part.encode(pixels).std() == pytest.approx(1, abs=0.35)


def test_trained_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.ckpt does not exist"):
        Trained(checkpoint=str(tmp_path / "nowhere.ckpt"))
    trainer(tmp_path, max_steps=1).fit(make_task(), make_data())
    (tmp_path / "broken.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"broken\.ckpt cannot be read as a checkpoint"):
        Trained(checkpoint=str(tmp_path / "broken.ckpt"))
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="is not a checkpoint of a vidiff task"):
        Trained(checkpoint=str(tmp_path / "other.ckpt"))


def test_data_module_is_the_default_one():
    """What run_tiny builds by hand is what a config builds."""
    assert isinstance(make_data(), VideoDataModule)


def test_a_model_without_conditions(tmp_path):
    arguments = make_task_arguments() | {"conditions": {}}
    task = DiffusionTask(**arguments)
    trainer(tmp_path, max_steps=2, limit_val_batches=1).fit(task, make_data())
    assert task.sample(["", ""], num_steps=2).shape == (2, 3, 3, 16, 16)
    assert set(task.ema) == {"denoiser"}


def test_brain_floats_throughout(tmp_path):
    task = latent_task_of_random_weights()
    trainer(tmp_path, max_steps=2, limit_val_batches=1, precision="bf16-true").fit(
        task, make_data()
    )
    assert {p.dtype for p in task.parameters()} == {torch.bfloat16}
    assert task.sample(["x"], num_steps=2).isfinite().all()
    image = {"image": torch.zeros(1, 3, 16, 16)}
    assert task.sample(["x"], num_steps=2, inputs=image).isfinite().all()


def latent_task_of_random_weights():
    """With frames, whose signals are made of float32 where an image is given."""
    return DiffusionTask(
        denoiser=make_task().factories.denoiser,
        conditions=make_task().factories.conditions | {"frames": Frames},
        autoencoder=partial(CausalKL, folds=[(2, 2, 2)], width=[8]),
    )
