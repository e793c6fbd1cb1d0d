"""Autoencoders are measured by any metrics, and without a checkpoint where none is trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tiny import write_config

from vidiff.__main__ import main


@pytest.fixture
def published(tmp_path: Path) -> Path:
    task = {"class_path": "AutoencoderTask", "init_args": {"autoencoder": "identity"}}
    changes = {"model": task, "data.dataset.init_args.num_frames": 3}
    return write_config(tmp_path / "c.yaml", changes)


@pytest.mark.parametrize(("command", "split"), [("validate", "val"), ("test", "test")])
def test_it_is_measured_and_its_figures_are_shown(
    published: Path, capsys: pytest.CaptureFixture[str], command: str, split: str
) -> None:
    assert main([command, "-c", str(published)]) == 0
    table = capsys.readouterr().out
    shown = {m[1]: float(m[2]) for m in re.finditer(rf"{split}/(\w+)\W+(-?[\d.e-]+)", table)}
    assert shown["psnr"] == pytest.approx(100)
    assert shown["ssim"] == pytest.approx(1, abs=1e-4)
    assert shown["flicker"] == shown["loss"] == 0
    assert shown["frame_change"] == shown["frame_change_reference"] > 0
    assert {"latent_std", "encode_frames_per_second", "decode_frames_per_second"} <= set(shown)
    assert not list((published.parent / "run").glob("**/events*"))


def test_it_is_not_trained(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "-c", str(published)]) == 2
    assert "nothing to train: Identity" in capsys.readouterr().err


def test_a_model_that_is_trained_needs_its_checkpoint(refused: Any, published: Path) -> None:
    for command in ("validate", "test"):
        words = (command, "-c", published, "--model.autoencoder=causal_kl")
        assert f"{command} needs a trained model: give --ckpt_path" in refused(*words)
    assert "sample needs a trained model" in refused("sample", "-c", published)


def test_a_checkpoint_is_measured_by_other_metrics_than_its_run(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-c", str(published), "--model.autoencoder=causal_kl", "--model.autoencoder.width=[8]"]
    assert main(["fit", *words, "--model.metrics=[ssim]", "--trainer.max_steps=1"]) == 0
    capsys.readouterr()
    assert main(["test", *words, "--model.metrics=[psnr]", "--ckpt_path=last"]) == 0
    table = capsys.readouterr().out
    assert "test/psnr" in table
    assert "test/ssim" not in table
