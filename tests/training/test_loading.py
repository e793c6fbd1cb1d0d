import sys
import types
from functools import partial

import pytest
import torch
from run_tiny import make_data, make_task
from test_tasks import autoencoder_checkpoint, latent_task, trainer  # noqa: F401

import vidiff
from vidiff.checkpoints import read_checkpoint, task_node
from vidiff.config_nodes import build, describe
from vidiff.denoisers import DiT
from vidiff.patchifiers import Frame, Tubelet
from vidiff.training import AutoencoderTask, DiffusionTask, Task


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    task = make_task()
    trainer(folder).fit(task, make_data())
    return task, folder / "checkpoints" / "last.ckpt"


def test_load_gives_the_trained_task(checkpoint):
    task, path = checkpoint
    loaded = vidiff.load(path)
    assert isinstance(loaded, DiffusionTask)
    assert not any(module.training for module in loaded.modules())
    assert loaded.clip_size == (3, 16, 16)
    prompts = ["a red square moves left", ""]
    pixels = loaded.sample(prompts, seed=3, num_steps=2)
    assert pixels.shape == (2, 3, 3, 16, 16)
    assert torch.equal(pixels, task.sample(prompts, seed=3, num_steps=2))
    assert loaded.sample(prompts, num_frames=5, height=8, width=24, num_steps=1).shape[2:] == (
        5, 8, 24,
    )  # fmt: skip


def test_load_reads_plain_values_only(checkpoint):
    saved = torch.load(checkpoint[1], weights_only=True)
    assert saved["hyper_parameters"]["denoiser"]["init_args"]["width"] == 32
    assert saved["hyper_parameters"]["denoiser"]["init_args"]["mlp_ratio"] == 4.0  # a default
    assert saved["hyper_parameters"]["sampler"]["class_path"].endswith("Euler")


def test_checkpoint_stands_alone(tmp_path, autoencoder_checkpoint):  # noqa: F811
    moved = tmp_path / "autoencoder.ckpt"
    moved.write_bytes(autoencoder_checkpoint.read_bytes())
    task = latent_task(moved)
    trainer(tmp_path).fit(task, make_data())
    moved.unlink()
    loaded = vidiff.load(tmp_path / "checkpoints" / "last.ckpt")
    assert type(loaded.autoencoder).__name__ == "CausalKL"
    assert torch.equal(loaded.sample(["x"], num_steps=2), task.sample(["x"], num_steps=2))
    trainer(tmp_path).sample(
        latent_task(moved), prompts="x", output=str(tmp_path / "samples"), num_steps=2,
        ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"),
    )  # fmt: skip
    assert (tmp_path / "samples" / "samples.jsonl").is_file()
    with pytest.raises(ValueError, match=r"autoencoder\.ckpt does not exist"):
        latent_task(moved).configure_model()


def test_load_autoencoder_task(autoencoder_checkpoint):  # noqa: F811
    assert isinstance(vidiff.load(autoencoder_checkpoint), AutoencoderTask)


def test_what_cannot_be_named_is_said_when_loading(tmp_path):
    task = DiffusionTask(denoiser=lambda **given: make_task().factories.denoiser(**given))
    trainer(tmp_path, max_steps=1).fit(task, make_data())
    with pytest.raises(ValueError, match=r"built in Python with denoiser=<function"):
        vidiff.load(tmp_path / "checkpoints" / "last.ckpt")


def test_a_missing_plugin_is_named(tmp_path, monkeypatch):
    module = types.ModuleType("my_plugin")
    exec("from vidiff.denoisers import DiT\nclass MyDiT(DiT):\n    pass", module.__dict__)
    module.MyDiT.__module__ = "my_plugin"
    monkeypatch.setitem(sys.modules, "my_plugin", module)
    small = {"width": 32, "depth": 1, "num_heads": 2, "patchifier": partial(Frame, patch_size=4)}
    task = DiffusionTask(denoiser=partial(module.MyDiT, **small))
    trainer(tmp_path, max_steps=1).fit(task, make_data())
    path = tmp_path / "checkpoints" / "last.ckpt"
    monkeypatch.delitem(sys.modules, "my_plugin")
    with pytest.raises(ValueError, match=r"(?s)my_plugin.*plugins="):
        vidiff.load(path)


def test_missing_checkpoint_names_its_neighbours(checkpoint):
    with pytest.raises(ValueError, match=r"nothing\.ckpt does not exist; beside it are .*last"):
        vidiff.load(checkpoint[1].with_name("nothing.ckpt"))


def test_nodes_rebuild_what_they_describe():
    make = partial(
        DiT, width=32, depth=1, num_heads=2, patchifier=partial(Tubelet, patch_size=(1, 4, 4))
    )
    node = describe(partial(DiffusionTask, denoiser=make))
    again = build(node, Task).hparams
    assert dict(again) == dict(DiffusionTask(denoiser=make).hparams)
    assert task_node({"hyper_parameters": dict(again)})["init_args"]["denoiser"] == describe(make)


@pytest.mark.parametrize("value", [object(), lambda: None, partial(print)])
def test_only_classes_and_plain_values_have_a_node(value):
    with pytest.raises(TypeError, match="hand in a class"):
        describe(value)


def test_read_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, ("raise SystemExit('ran')",))

    torch.save({"hyper_parameters": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "evil.ckpt")


@pytest.mark.parametrize("task", [AutoencoderTask, DiffusionTask])
def test_a_task_is_found_where_earlier_checkpoints_name_it(task):
    """Tasks once lay one folder up; checkpoints hold the full path of their class."""
    earlier = task.__module__.removesuffix(".task")
    assert getattr(sys.modules[earlier], task.__name__) is task
