"""A model out of a checkpoint without Lightning: what it samples, and what is no model."""

import subprocess
import sys
from functools import partial

import pytest
import torch
from run_tiny import make_data, make_task
from test_tasks import autoencoder_checkpoint, latent_task, trainer  # noqa: F401

import vidiff
from vidiff.conditions import Frames, Words
from vidiff.generation import generate
from vidiff.guidance import ClassifierFree
from vidiff.model import load_model
from vidiff.samplers import Euler
from vidiff.seeds import clip_seed
from vidiff.training import DiffusionTask

PROMPTS = ["a red square moves left", ""]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    trainer(folder).fit(make_task(), make_data())
    return folder / "checkpoints" / "last.ckpt"


def sample(model, prompts=PROMPTS, **inputs):
    return generate(
        model, {"caption": prompts, **inputs}, sampler=Euler(num_steps=2),
        guidance=ClassifierFree(2.0), size=(3, 16, 16),
        seeds=[clip_seed(3, index) for index in range(len(prompts))],
    )  # fmt: skip


def test_it_samples_what_the_loaded_task_does(checkpoint):
    model = load_model(checkpoint)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    expected = vidiff.load(checkpoint).sample(PROMPTS, seed=3, num_steps=2, guidance_scale=2.0)
    assert torch.equal(sample(model), expected)


def test_its_weights_are_the_averaged_ones(checkpoint):
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    for name, value in load_model(checkpoint).state_dict().items():
        assert torch.equal(value, saved[f"ema.{name}"]), name


def test_without_an_average_they_are_the_weights_themselves(tmp_path):
    task = make_task()
    task.ema_decay = 0.0
    trainer(tmp_path, max_steps=1).fit(task, make_data())
    held = load_model(tmp_path / "checkpoints" / "last.ckpt").state_dict()
    assert all(torch.equal(value, held[name]) for name, value in task.model.state_dict().items())


@pytest.mark.parametrize("names", [[], ["label"], ["frames", "text"]])
def test_the_conditions_of_the_checkpoint_take_the_place_of_the_default(tmp_path, names):
    words = partial(Words, text_dim=16, depth=1, num_rows=64)
    conditions = {name: Frames if name == "frames" else words for name in names}
    task = DiffusionTask(denoiser=make_task().factories.denoiser, conditions=conditions)
    trainer(tmp_path, max_steps=1).fit(task, make_data())
    path = tmp_path / "checkpoints" / "last.ckpt"
    model = load_model(path)
    assert list(model.conditions) == names
    expected = vidiff.load(path).sample(PROMPTS, seed=3, num_steps=2, guidance_scale=2.0)
    assert torch.equal(sample(model), expected)


def test_its_autoencoder_comes_from_the_checkpoint(tmp_path, autoencoder_checkpoint):  # noqa: F811
    moved = tmp_path / "autoencoder.ckpt"
    moved.write_bytes(autoencoder_checkpoint.read_bytes())
    trainer(tmp_path, max_steps=1).fit(latent_task(moved), make_data())
    moved.unlink()
    path = tmp_path / "checkpoints" / "last.ckpt"
    expected = vidiff.load(path).sample(PROMPTS, seed=3, num_steps=2, guidance_scale=2.0)
    assert torch.equal(sample(load_model(path)), expected)


def test_lightning_is_not_imported(checkpoint, tmp_path):
    code = (
        "import sys, torch\n"
        "torch.set_num_threads(1)\n"
        "from vidiff.generation import generate\n"
        "from vidiff.guidance import ClassifierFree\n"
        "from vidiff.model import load_model\n"
        "from vidiff.samplers import Euler\n"
        "from vidiff.seeds import clip_seed\n"
        "video = generate(load_model(sys.argv[1]), {'caption': ['a red square moves left']},\n"
        "    sampler=Euler(num_steps=2), guidance=ClassifierFree(2.0), size=(3, 16, 16),\n"
        "    seeds=[clip_seed(3, 0)])\n"
        "torch.save(video, sys.argv[2])\n"
        "assert 'lightning' not in sys.modules, 'it is imported'\n"
    )
    words = [sys.executable, "-c", code, str(checkpoint), str(tmp_path / "video.pt")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    expected = sample(load_model(checkpoint), PROMPTS[:1])
    torch.testing.assert_close(torch.load(tmp_path / "video.pt"), expected)


def refusal(path):
    with pytest.raises(ValueError, match=str(path)) as error:
        load_model(path)
    return str(error.value)


def test_what_is_no_model_is_refused_in_one_line(tmp_path, autoencoder_checkpoint):  # noqa: F811
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "foreign.ckpt")
    for path, said in (
        (autoencoder_checkpoint, "cannot be loaded as a model: it holds vidiff.training."),
        (tmp_path / "none.ckpt", "does not exist"),
        (tmp_path / "text.ckpt", "cannot be read as a checkpoint"),
        (tmp_path / "foreign.ckpt", "is not a checkpoint of a vidiff task"),
    ):
        assert said in refusal(path)
        assert "\n" not in refusal(path)


def test_what_cannot_be_rebuilt_is_said(checkpoint, tmp_path):
    saved = torch.load(checkpoint, weights_only=True)
    saved["hyper_parameters"]["denoiser"]["init_args"]["width"] = 64
    torch.save(saved, tmp_path / "wider.ckpt")
    assert "cannot be loaded as a model: " in refusal(tmp_path / "wider.ckpt")
    saved["hyper_parameters"]["denoiser"]["class_path"] = "elsewhere.Net"
    torch.save(saved, tmp_path / "plugin.ckpt")
    assert "plugins=" in refusal(tmp_path / "plugin.ckpt")
