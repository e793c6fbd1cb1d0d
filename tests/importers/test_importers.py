"""Published weights give the published outputs (../shared/parity; largest difference 1e-5)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import vidiff
from vidiff.__main__ import main
from vidiff.autoencoders import Pretrained
from vidiff.checkpoints import read_checkpoint
from vidiff.guidance import Steered
from vidiff.importers import DiTImporter, read_weights
from vidiff.training import DiffusionTask

PARITY = Path(__file__).parents[2].parent / "shared" / "parity"
FILES = {"dit_tiny": "dit", "sit_tiny": "sit", "latte_tiny_class": "latte"}
FILES["latte_tiny_uncond"] = "latte"
needs_files = pytest.mark.skipif(not PARITY.is_dir(), reason="the reference outputs are not here")


def parity(name: str) -> dict[str, Tensor]:
    return load_file(PARITY / f"{name}.safetensors")


def video(x: Tensor) -> Tensor:
    """Images (b, c, h, w), or Latte's videos (b, f, c, h, w), to (b, c, f, h, w)."""
    return x.unsqueeze(2) if x.ndim == 4 else x.transpose(1, 2)


def imported(folder: Path, name: str, *words: str) -> DiffusionTask:
    checkpoint = folder / f"{name}.ckpt"
    file = str(PARITY / f"{name}.safetensors")
    words = words or ("--from", FILES[name], file, "--num-heads", "4")
    assert main(["import-weights", *words, "--output", str(checkpoint)]) == 0
    task = vidiff.load(checkpoint)
    assert isinstance(task, DiffusionTask)
    return task


@needs_files
@pytest.mark.parametrize("name", FILES)
def test_outputs_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    tensors, task = parity(name), imported(tmp_path, name)
    assert not task.training
    output = task.denoise(video(tensors["input.x"]), tensors["input.t"], tensors.get("input.y"))
    expected = video(tensors["output"])
    assert output.shape == expected.shape, "with the channels of a learned variance"
    assert (output - expected).abs().max() <= 1e-5


@needs_files
@pytest.mark.parametrize("name", [name for name in FILES if "uncond" not in name])
def test_guided_outputs_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    """Their forward_with_cfg at scale 4: as published, it guides some channels only."""
    tensors, task = parity(name), imported(tmp_path, name)
    x, t, labels = video(tensors["input.x"]), tensors["input.t"], tensors["input.y"]
    channels = task.guidance.channels
    assert channels == (4 if "latte" in name else 3)
    conditional = task.denoise(x, t, labels)
    contrast = task.denoise(x, t, prompts=["", ""])
    guided = conditional.clone()
    guided[:, :channels] = contrast.lerp(conditional, 4.0)[:, :channels]
    expected = video(tensors["output.cfg4"])[:2]
    assert (guided - expected).abs().max() <= 1e-5


@needs_files
def test_guidance_of_the_task_is_that_of_the_reference(tmp_path: Path) -> None:
    """Guiding estimates of noise and sample, as samplers do, is guiding the prediction."""
    tensors, task = parity("dit_tiny"), imported(tmp_path, "dit_tiny")
    x, step, labels = video(tensors["input.x"]), tensors["input.t"], tensors["input.y"]
    t = (step.double() + 1) / 1000
    prompts = [str(int(label)) for label in labels]
    steered = Steered(task.model, {"caption": prompts, "latent_shape": tuple(x.shape[1:])})
    assert task.conditions["label"].number("") == 10, "no class"
    task.guidance.scale = 4.0
    with torch.no_grad():
        guided = task.guidance(steered, x, t)
    expected = video(tensors["output.cfg4"])[:2, :4]
    assert (guided.noise - expected).abs().max() <= 1e-5


@needs_files
def test_an_imported_model_samples_latents_and_says_that_it_cannot_decode(tmp_path: Path) -> None:
    task = imported(tmp_path, "latte_tiny_class")
    latents = task.sample(["3", ""], decode=False, num_steps=3)
    assert latents.shape == (2, 4, 4, 8, 8)
    assert latents.isfinite().all()
    with pytest.raises(ValueError, match="4 channels and has no autoencoder"):
        task.sample(["3"], num_steps=1)


@needs_files
def test_the_config_beside_the_checkpoint_builds_the_same_task(tmp_path: Path) -> None:
    from jsonargparse import ArgumentParser

    task = imported(tmp_path, "sit_tiny")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(DiffusionTask, "model")
    built = parser.instantiate(parser.parse_path(tmp_path / "sit_tiny.yaml")).model
    built.configure_model()
    built.load_state_dict(task.state_dict())
    x, t = torch.randn(1, 4, 1, 8, 8), torch.tensor([0.3])
    assert torch.equal(built.eval().denoise(x, t), task.denoise(x, t))


@needs_files
def test_every_way_that_weights_are_saved_is_read(tmp_path: Path) -> None:
    weights = {
        k.removeprefix("param."): v for k, v in parity("dit_tiny").items() if k.startswith("param.")
    }
    other = {k: torch.zeros_like(v) for k, v in weights.items()}
    torch.save(weights, tmp_path / "plain.pt")
    options = argparse.Namespace(model="DiT-XL/2")
    torch.save({"model": other, "ema": weights, "args": options}, tmp_path / "training.pt")
    torch.save({f"module.{k}": v for k, v in weights.items()}, tmp_path / "ddp.pt")
    save_file(weights, tmp_path / "plain.safetensors")
    for name in ("plain.pt", "training.pt", "ddp.pt", "plain.safetensors"):
        found = read_weights(tmp_path / name)
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[k], v) for k, v in weights.items())


class Harmful:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("harmed"),))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"x_embedder.proj.weight": Harmful()}, tmp_path / "bad.pt")
    words = ["import-weights", "--from", "dit", "bad.pt", "--output", "out.ckpt"]
    assert main(words) == 2
    assert "bad.pt cannot be read as weights" in capsys.readouterr().err
    assert not Path("harmed").exists()
    assert not Path("out.ckpt").exists()


def refusal(weights: dict[str, Tensor], folder: Path, capsys, *words: str) -> str:
    save_file(weights, folder / "model.safetensors")
    words = ("--from", "dit", str(folder / "model.safetensors"), *words)
    assert main(["import-weights", *words, "--output", str(folder / "out.ckpt")]) == 2
    assert not (folder / "out.ckpt").exists()
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


@needs_files
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, capsys) -> None:
    weights = {k: v for k, v in parity("dit_tiny").items() if k.startswith("param.")}
    said = refusal(weights, tmp_path, capsys)
    assert "no published model is 64 wide (384, 768, 1024, 1152 are)" in said
    assert "--num-heads" in said
    heads = ("--num-heads", "4")
    more = weights | {"param.extra": torch.zeros(1)}
    assert "does not have: extra" in refusal(more, tmp_path, capsys, *heads)
    less = {k: v for k, v in weights.items() if k != "param.t_embedder.mlp.2.bias"}
    assert "no tensor 't_embedder.mlp.2.bias'" in refusal(less, tmp_path, capsys, *heads)
    moved = weights | {"param.pos_embed": torch.zeros(1, 16, 64)}
    assert "not the published table" in refusal(moved, tmp_path, capsys, *heads)
    assert "does not divide" in refusal(weights, tmp_path, capsys, "--num-heads", "5")


def save_autoencoder(folder: Path, **changes: int) -> Path:
    """A small random autoencoder with the compression and the channels of Stable Diffusion's."""
    diffusers = pytest.importorskip("diffusers")
    diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 4, 4), norm_num_groups=2,
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        **changes,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@needs_files
@pytest.mark.parametrize("name", ["dit_tiny", "latte_tiny_class"])
def test_with_its_autoencoder_an_imported_model_makes_videos(name: str, tmp_path: Path) -> None:
    vae, file = save_autoencoder(tmp_path / "vae"), str(PARITY / f"{name}.safetensors")
    words = ("--from", FILES[name], file, "--num-heads", "4", "--autoencoder", str(vae))
    task = imported(tmp_path, name, *words)
    frames = 4 if "latte" in name else 1
    reference = Pretrained(folder=str(vae))
    config = yaml.safe_load((tmp_path / f"{name}.yaml").read_text())
    assert config["model"]["init_args"]["autoencoder"]["init_args"] == {"folder": str(vae)}
    checkpoint = tmp_path / f"{name}.ckpt"
    assert not [k for k in read_checkpoint(checkpoint)["state_dict"] if "autoencoder" in k]
    again = vidiff.load(checkpoint)
    assert isinstance(again, DiffusionTask)
    pixels = again.sample(["3", ""], num_steps=3)
    assert pixels.shape == (2, 3, frames, 64, 64)
    latents = task.sample(["3", ""], num_steps=3, decode=False)
    assert latents.shape == (2, 4, frames, 8, 8)
    assert torch.equal(pixels, reference.decode(latents).clamp(-1, 1))
    tensors = parity(name)
    output = again.denoise(video(tensors["input.x"]), tensors["input.t"], tensors["input.y"])
    assert (output - video(tensors["output"])).abs().max() <= 1e-5


@needs_files
def test_an_autoencoder_of_other_channels_is_refused(tmp_path: Path, capsys) -> None:
    vae = save_autoencoder(tmp_path / "vae", latent_channels=16)
    weights = {k: v for k, v in parity("dit_tiny").items() if k.startswith("param.")}
    words = ("--num-heads", "4", "--autoencoder")
    said = refusal(weights, tmp_path, capsys, *words, str(vae))
    assert "has latents of 16 channels, and the model was trained on 4" in said
    assert "'nowhere' does not exist" in refusal(weights, tmp_path, capsys, *words, "nowhere")


@needs_files
def test_an_output_that_exists_is_not_replaced(tmp_path: Path, capsys) -> None:
    imported(tmp_path, "dit_tiny")
    file = str(PARITY / "dit_tiny.safetensors")
    output = str(tmp_path / "dit_tiny.ckpt")
    assert main(["import-weights", "--from", "dit", file, "--output", output]) == 2
    assert "exists already" in capsys.readouterr().err


@needs_files
def test_all_twelve_sizes_have_the_published_number_of_parameters() -> None:
    """The counts of trainable parameters of facebookresearch/DiT, 1,000 classes."""
    from functools import partial

    from vidiff.conditioning import AdaLNZero
    from vidiff.conditions import Labels
    from vidiff.denoisers import DiT
    from vidiff.denoisers.dit import SIZES
    from vidiff.patchifiers import Frame

    published = json.loads((PARITY / "dit_parameter_counts.json").read_text())
    assert len(published) == 12
    for name, count in published.items():
        size, patch = name.removeprefix("DiT-").split("/")
        width = SIZES[size][0]
        with torch.device("meta"):
            labels = Labels(1000, width)
            parts = [
                DiT(
                    in_channels=4, out_channels=8, signals={"label": labels.dims}, size=size,
                    patchifier=partial(Frame, patch_size=int(patch)),
                    conditioning=partial(AdaLNZero, project=False),
                ),
                labels,
            ]  # fmt: skip
        found = sum(p.numel() for part in parts for p in part.parameters() if p.requires_grad)
        assert found == count, name


def test_metadata_of_the_references_is_what_is_inferred(tmp_path: Path) -> None:
    if not PARITY.is_dir():
        pytest.skip("the reference outputs are not here")
    for name in FILES:
        with safe_open(PARITY / f"{name}.safetensors", "pt") as file:
            config = json.loads(file.metadata()["config"])
        task = imported(tmp_path, name)
        denoiser = task.hparams["denoiser"]["init_args"]
        assert denoiser["width"] == config["hidden_size"]
        assert denoiser["depth"] == config["depth"]
        assert denoiser["patchifier"]["init_args"]["patch_size"] == config["patch_size"]
        assert task.autoencoder.latent_channels == config["in_channels"]
        size = config["input_size"]
        assert task.clip_size == (config.get("num_frames", 1), size, size)
        classes = [labels.num_classes for labels in task.conditions.values()]
        assert classes == ([config["num_classes"]] if "uncond" not in name else [])


def test_published_widths_need_no_number_of_heads() -> None:
    from vidiff.importers.dit import published_heads

    assert [published_heads(w) for w in (384, 768, 1024, 1152)] == [6, 12, 16, 16]
    assert DiTImporter.__doc__
