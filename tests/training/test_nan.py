"""NaN never becomes a picture: what stops names the step and the tensor, and no file is written."""

import pytest
import torch
from lightning.pytorch import Callback
from run_tiny import make_data, make_task
from test_tasks import trainer

from vidiff.__main__ import main
from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Cosine, Rectified
from vidiff.registry import get_kind
from vidiff.samplers import Euler
from vidiff.training.callbacks import SampleVideos
from vidiff.video import sheet_row, write_frames, write_video

SHAPE = (2, 3, 2, 4, 4)


def spoiled_at(call, value=torch.nan):
    """A denoiser whose answer holds one NaN the given time that it is asked."""
    calls = []

    def denoise(x_t, t):
        calls.append(t)
        x0 = torch.zeros(SHAPE)
        if len(calls) == call:
            x0[1, 0, 0, 0, 0] = value
        return Denoised(x0, x_t / t.view(-1, 1, 1, 1, 1))

    return denoise


def walk(sampler, denoise, schedule=None):
    noise = torch.randn(SHAPE)
    return sampler(denoise, noise, schedule or Rectified(), lambda: torch.randn(SHAPE))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_the_first_bad_step_is_named(value):
    error = r"the model's estimate of clean latents at step 3 of 5 \(t = 0\.6\): NaN or infinity"
    with pytest.raises(FloatingPointError, match=error):
        walk(Euler(num_steps=5), spoiled_at(3, value))


@pytest.mark.parametrize("name", sorted(get_kind("sampler").components))
def test_every_sampler_stops(name):
    sampler = get_kind("sampler").components[name].cls(num_steps=4)
    schedule = next(s for s in (Rectified(), Cosine()) if sampler.incompatibility(s) is None)
    with pytest.raises(FloatingPointError, match="at step 2 of 4"):
        walk(sampler, spoiled_at(2), schedule)


def test_a_walk_is_looked_at_once(monkeypatch):
    """One look at the device for a whole walk, at all flags together, and none in its steps."""
    looks, tolist = [], torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda x: looks.append(x.shape) or tolist(x))
    walk(Euler(num_steps=5), spoiled_at(0))
    assert looks == [(2 * 5 + 1,)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    trainer(folder, max_steps=1).fit(make_task(), make_data())
    return folder / "checkpoints" / "last.ckpt"


def spoil(task, name):
    task.configure_model()
    with torch.no_grad():
        dict(task.named_parameters())[name].view(-1)[0] = torch.nan
    return task


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("ema.denoiser.blocks.1.mlp.0.bias", "estimate of clean latents at step 1 of 2"),
        ("ema.conditions.text.start", "estimate of clean latents at step 1 of 2"),
    ],
)
def test_weights_that_are_not_finite_are_named(name, first):
    task = spoil(make_task(), name)
    task.clip_size = (3, 16, 16)
    with pytest.raises(FloatingPointError, match="sampling stops: ") as error:
        task.sample(["x"], num_steps=2)
    assert first in str(error.value)
    assert f"the weight {name.removeprefix('ema.')} is not finite itself" in str(error.value)


def test_pixels_that_turn_nan_are_named(monkeypatch):
    task = make_task()
    task.configure_model()
    task.clip_size = (3, 16, 16)
    monkeypatch.setattr(task.autoencoder, "decode", lambda latents: latents * torch.nan)
    with pytest.raises(FloatingPointError, match="pixels that the autoencoder decoded"):
        task.sample(["x"], num_steps=2)
    assert task.sample(["x"], num_steps=2, decode=False).isfinite().all()


def test_sample_writes_nothing(checkpoint, tmp_path):
    saved = torch.load(checkpoint, weights_only=True)
    for value in saved["state_dict"].values():
        if value.is_floating_point():
            value[...] = torch.nan
    torch.save(saved, tmp_path / "nan.ckpt")
    output = tmp_path / "samples"
    with pytest.raises(FloatingPointError, match="sampling stops"):
        trainer(tmp_path).sample(
            make_task(), prompts="a;b", output=str(output), ckpt_path=str(tmp_path / "nan.ckpt")
        )
    assert not output.exists()


def test_the_program_says_it_in_one_line_and_exits_with_1(monkeypatch, capsys):
    def dispatch(words):
        raise FloatingPointError("sampling stops: NaN")

    monkeypatch.setattr("vidiff.cli.main._dispatch", dispatch)
    assert main(["sample"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("vidiff: error: sampling stops: NaN")
    assert "Traceback" not in error


def test_a_run_goes_on_without_the_samples(tmp_path):
    class Spoil(Callback):
        def on_train_batch_end(self, trainer, task, *_):
            if trainer.global_step == 2:  # the average alone, which the next steps mend
                with torch.no_grad():
                    task.ema["denoiser"].blocks[0].mlp[0].bias.fill_(torch.inf)

    callbacks = [Spoil(), SampleVideos(["x"], every_n_steps=2, num_steps=1)]
    with pytest.warns(UserWarning, match="no samples of step 2: sampling stops"):
        trainer(tmp_path, max_steps=3, callbacks=callbacks).fit(make_task(), make_data())
    assert not list((tmp_path).glob("samples/*"))
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_writers_refuse(tmp_path, value):
    pixels = torch.zeros(3, 4, 16, 16)
    pixels[1, 2, 3, 3] = value
    error = "1 of 4 frames hold NaN or infinity, the first is frame 2"
    for ending in ("mp4", "webm", "gif"):
        with pytest.raises(ValueError, match=error):
            write_video(tmp_path / f"x.{ending}", pixels, 8)
    with pytest.raises(ValueError, match=error):
        write_frames(tmp_path / "frames", pixels)
    with pytest.raises(ValueError, match=error):
        sheet_row(pixels, "x")
    assert not list(tmp_path.iterdir())
