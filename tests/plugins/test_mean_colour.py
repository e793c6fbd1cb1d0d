"""A plugin's condition, of one file, wherever conditions go: plugins/mean_colour.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import vidiff
from vidiff.cli.main import main
from vidiff.plugins import load_all
from vidiff.testing import check_component

PLUGIN = str(Path(__file__).parents[2] / "plugins" / "mean_colour.py")
WORDS = [
    "--plugins", PLUGIN, "--model", "DiffusionTask", "--data.dataset", "moving_shapes",
    "--data.dataset.num_frames", "3", "--data.dataset.height", "16", "--data.dataset.width", "16",
    "--data.dataset.radius", "[3.0, 4.0]", "--data.dataset.num_val_videos", "2",
    "--data.batch_size", "4", "--data.num_workers", "0",
    "--model.denoiser", "dit", "--model.denoiser.width", "32", "--model.denoiser.depth", "2",
    "--model.denoiser.num_heads", "2", "--model.denoiser.patchifier", "tubelet",
    "--model.denoiser.patchifier.patch_size", "[1, 8, 8]",
    "--model.conditions.text", "words", "--model.conditions.text.text_dim", "16",
    "--model.conditions.colour", "mean_colour",
    "--model.condition_dropout", "{text: 0.2, colour: 0.3, all: 0.1}",
    "--model.guidance", "several", "--model.guidance.scales", "{colour: 1.5, text: 2.0}",
    "--trainer.accelerator", "cpu", "--trainer.max_steps", "3",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colour")
    assert main(["fit", *WORDS, "--trainer.default_root_dir", str(folder)]) == 0
    return folder


def test_it_keeps_the_promises_of_its_kind():
    load_all([PLUGIN])
    check_component("condition", "mean_colour")


def test_it_is_trained_with_and_sampled_from_by_the_command_line(run, tmp_path):
    outputs = []
    for colour in ("[0.9, 0.1, 0.1]", "[0.1, 0.1, 0.9]"):
        outputs.append(tmp_path / str(len(outputs)))
        words = ["--ckpt_path", "last", "--prompts", "a red circle moves left", "--inputs"]
        words += [f"{{colour: {colour}}}", "--num_steps", "2", "--output", str(outputs[-1])]
        config = ["-c", str(run / "config.yaml"), "--trainer.default_root_dir", str(run)]
        assert main(["sample", *config, *words]) == 0
    records = [json.loads((out / "samples.jsonl").read_text()) for out in outputs]
    assert records[0]["settings"]["inputs"] == {"colour": [0.9, 0.1, 0.1]}
    assert records[1]["settings"]["inputs"] == {"colour": [0.1, 0.1, 0.9]}
    assert all((out / r["file"]).exists() for out, r in zip(outputs, records, strict=True))


def test_the_model_listens_to_it_and_guidance_has_a_scale_for_it(run):
    task = vidiff.load(run / "checkpoints" / "last.ckpt", plugins=[PLUGIN])
    torch.manual_seed(0)
    for parameter in task.parameters():  # maps that start at zero would hide it
        torch.nn.init.normal_(parameter, std=0.2)
    assert task.guidance.scales == {"colour": 1.5, "text": 2.0}

    def sample(*colour):
        given = {"inputs": {"colour": torch.tensor([colour])}} if colour else {}
        return task.sample(["a red circle moves left"], num_steps=2, **given)

    red, blue, none = sample(0.9, 0.1, 0.1), sample(0.1, 0.1, 0.9), sample()
    assert (red - blue).abs().mean() > 1e-3
    assert (red - none).abs().mean() > 1e-3
    assert torch.equal(red, sample(0.9, 0.1, 0.1))


def test_it_is_planned_for(capsys):
    arguments = [word for word in WORDS if word != "--plugins"]
    arguments.remove(PLUGIN)
    assert main(["plan", "--plugins", PLUGIN, *arguments, "--json"]) == 0
    parameters = json.loads(capsys.readouterr().out)["parameters"]["parts"]
    assert "conditions" in parameters or "denoiser" in parameters


def test_its_signal_is_cached_and_training_from_the_cache_is_the_same(run, tmp_path):
    cache, words = tmp_path / "cache", ["-c", str(run / "config.yaml")]
    elsewhere = ["--trainer.default_root_dir", str(tmp_path / "encode")]
    splits = ["--splits", "train,val", "--output", str(cache)]
    few = ["--data.dataset.num_videos", "12"]
    assert main(["encode", *words, *elsewhere, *few, *splits]) == 0
    assert list(json.loads((cache / "index.json").read_text())["conditions"]) == ["colour"]
    weights = []
    for name, data in (("source", few), ("cached", ["--data.dataset", "latent_cache",
                        "--data.dataset.root", str(cache)])):  # fmt: skip
        folder = tmp_path / name
        assert main(["fit", *words, "--trainer.default_root_dir", str(folder), *data]) == 0
        last = folder / "checkpoints" / "last.ckpt"
        weights.append(torch.load(last, weights_only=True)["state_dict"])
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
