"""``vidiff encode`` from the command line: one config for encoding and for training."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from processes import run_together
from safetensors.torch import load_file
from tiny import write_config

from vidiff.__main__ import main

AUTOENCODER = {
    "class_path": "causal_kl",
    "init_args": {"latent_channels": 4, "folds": [[2, 4, 4]], "width": [8], "depth": 1},
}
CHANGES = {
    "model.init_args.autoencoder": AUTOENCODER,
    "model.init_args.denoiser.init_args.patchifier.init_args.patch_size": [1, 2, 2],
    "data.dataset.init_args.num_frames": 3,
    "data.dataset.init_args.num_videos": 10,
}


def shards(root: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {path.name: load_file(path) for path in root.glob("*.safetensors")}


def test_two_processes_write_what_one_does_and_training_goes_on_from_it(
    tmp_path: Path,
) -> None:
    config = str(write_config(tmp_path / "c.yaml", CHANGES))
    words = ["encode", "-c", config, "--entries_per_shard=4", "--output"]
    assert main([*words, str(tmp_path / "one")]) == 0
    more = ["two", "--trainer.devices=2", "--trainer.strategy=ddp"]
    done, other = run_together(2, "-m", "vidiff", *words, *more, cwd=tmp_path)
    assert (done.returncode, other.returncode) == (0, 0), done.stderr + other.stderr
    assert "train: 10 clips, 0 of 3 shards" in done.stderr
    assert "Encoding" in done.stdout
    assert len(shards(tmp_path / "one")) == 4
    torch.testing.assert_close(shards(tmp_path / "one"), shards(tmp_path / "two"))
    index, same = (tmp_path / name / "index.json" for name in ("one", "two"))
    assert index.read_text() == same.read_text()
    assert not (tmp_path / "run").exists(), "encoding writes into its output alone"

    cached = ["--data.dataset=latent_cache", f"--data.dataset.root={tmp_path / 'two'}"]
    assert main(["fit", "-c", config, *cached]) == 0
    saved = tmp_path / "run" / "config.yaml"
    dataset = yaml.safe_load(saved.read_text())["data"]["dataset"]
    assert dataset["init_args"] == {"root": str(tmp_path / "two"), "check_source": True}
    assert main(["validate", "-c", str(saved), "--ckpt_path=last"]) == 0
    assert main([*words, str(tmp_path / "one")]) == 0  # complete: nothing to do


def test_links_and_special_files_do_not_stop_encoding(
    tmp_path: Path, make_video: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    videos = tmp_path / "videos"
    for name in ("a.mp4", "b.mp4"):
        make_video(videos / name, [k / 10 for k in range(6)])
    (videos / "a.txt").write_text("a dog")
    (videos / "gone.mp4").symlink_to("nowhere.mp4")
    (videos / "b.txt").symlink_to("nowhere.txt")
    (videos / "folder.mp4").mkdir()
    os.mkfifo(videos / "pipe.mp4")
    sizes = {"num_frames": 3, "height": 16, "width": 16}
    dataset = {"class_path": "video_folder", "init_args": {"root": str(videos), **sizes}}
    config = str(write_config(tmp_path / "c.yaml", CHANGES | {"data.dataset": dataset}))
    output = str(tmp_path / "latents")
    assert main(["encode", "-c", config, "--splits=train", "--output", output]) == 0
    (shard,) = shards(tmp_path / "latents").values()
    assert len(shard["latents.0"]) == 2
    for name in ("gone.mp4", "b.txt", "folder.mp4", "pipe.mp4"):
        assert f"{name} left out: " in caplog.text
    cached = ["--data.dataset=latent_cache", f"--data.dataset.root={output}"]
    assert main(["fit", "-c", config, *cached, "--trainer.limit_val_batches=0"]) == 0


def test_what_encode_refuses_is_one_line(tmp_path: Path, capsys: Any) -> None:
    config = str(write_config(tmp_path / "c.yaml", CHANGES))
    for words, message in (
        (["--splits=train,valid"], "splits must be some of train, val and test"),
        (["--dtype=float8"], "dtype"),
        (["--output", config], "File exists"),
        (["--data.dataset.num_frames=4"], "the nearest is"),
    ):
        capsys.readouterr()
        output = [] if "--output" in words else ["--output", str(tmp_path / "x")]
        assert main(["encode", "-c", config, *output, *words]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("vidiff: error: ")
        assert message in error
    assert main(["encode", "--help"]) == 0
    page = capsys.readouterr().out
    for option in ("--output", "--splits", "--num_epochs", "--dtype", "--entries_per_shard"):
        assert option in page
