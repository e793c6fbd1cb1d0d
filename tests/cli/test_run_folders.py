"""Run folders always have a way out, and damaged checkpoints are passed over."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_config

from vidiff.__main__ import main
from vidiff.cli.run_folder import find_best, find_checkpoint, whole_checkpoints
from vidiff.errors import UsageError


def fit(config: Path, *words: object) -> int:
    return main(["fit", "-c", str(config), *map(str, words)])


@pytest.fixture(scope="module")
def done(tmp_path_factory: Any) -> Path:
    """A config whose run kept all of three checkpoints, beside a ModelCheckpoint of its best."""
    folder = tmp_path_factory.mktemp("done")
    callbacks = [
        {"class_path": "SaveCheckpoint", "init_args": {"every_n_steps": 1, "keep_all": True}},
        {"class_path": "ModelCheckpoint", "init_args": {"monitor": "val/loss", "filename": "b"}},
    ]
    settings = {"trainer.callbacks": callbacks, "trainer.max_steps": 3}
    config = write_config(folder / "c.yaml", settings | {"trainer.val_check_interval": 2})
    assert fit(config) == 0
    return config


@pytest.fixture
def run(done: Path, tmp_path: Path) -> Path:
    """A copy of its folder, to be damaged."""
    return Path(shutil.copytree(done.parent / "run", tmp_path / "run", symlinks=True))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_run_that_left_no_checkpoint_says_auto_whatever_is_tried(
    refused: Any, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "c.yaml")
    assert fit(config) == 0
    shutil.rmtree(tmp_path / "run" / "checkpoints")  # killed before the first
    for words in ([], ["--ckpt_path", "last"]):
        error = refused("fit", "-c", config, *words)
        assert "--ckpt_path auto begins it again" in error
        assert "--ckpt_path last:" in error or "--ckpt_path last" not in error
    other = refused("fit", "-c", config, "--model.denoiser.depth=2")
    assert "which left no checkpoint" in other
    assert "--trainer.default_root_dir" in other
    assert "train first" in refused("sample", "-c", config, "--ckpt_path", "last", "--prompts=x")
    assert fit(config, "--ckpt_path", "auto") == 0


def test_damaged_checkpoints_are_passed_over_and_named(run: Path, capsys: Any) -> None:
    folder = run / "checkpoints"
    third = folder / "step_00000003.ckpt"
    newest = find_checkpoint("auto", run)
    assert newest is not None
    assert newest.path.resolve() == third.resolve()
    cut(third)  # last.ckpt leads to it
    capsys.readouterr()
    found = find_checkpoint("auto", run)
    assert found is not None
    assert found.head["global_step"] == 2
    error = capsys.readouterr().err
    assert "step_00000003.ckpt is passed over: " in error
    assert "it is cut off or damaged" in error
    third.unlink()  # last.ckpt leads nowhere
    last = find_checkpoint("last", run)
    assert last is not None
    assert last.path == found.path
    for path in folder.glob("*.ckpt"):
        path.unlink()
        path.write_bytes(b"")
    assert find_checkpoint("auto", run) is None
    with pytest.raises(UsageError, match="--ckpt_path auto begins it again"):
        find_checkpoint("last", run)


def test_weights_and_doubtful_checkpoints_are_nothing_to_go_on_with(run: Path) -> None:
    folder = run / "checkpoints"
    torch.save({"state_dict": {}}, run / "imported.ckpt")
    shutil.copy(folder / "step_00000001.ckpt", folder / "doubtful_step_00000009.ckpt")
    shutil.copy(folder / "step_00000001.ckpt", folder / ".step_00000009.ckpt.unfinished")
    names = [one.path.name for one in whole_checkpoints(run)]
    assert names[0] == "last.ckpt"
    steps = ["step_00000003.ckpt", "step_00000002.ckpt", "step_00000001.ckpt"]
    assert [name for name in names if name.startswith("step")] == steps
    assert not {"imported.ckpt", "doubtful_step_00000009.ckpt"} & {*names}


def test_an_added_model_checkpoint_stands_beside_ours(done: Path, run: Path) -> None:
    folder = done.parent / "run" / "checkpoints"
    assert (folder / "last.ckpt").resolve().name == "step_00000003.ckpt"
    assert find_best(done.parent / "run").path == folder / "b.ckpt"
    assert torch.load(folder / "b.ckpt", weights_only=True)["global_step"] == 2
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UsageError, match=r"kept a best checkpoint: .*monitor=val/loss"):
        find_best(run)


def test_best_is_found_where_the_folder_was_moved(done: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(done.parent / "run", moved, symlinks=True)
    hidden = done.parent / "elsewhere"
    (done.parent / "run").rename(hidden)
    try:
        assert find_best(moved).path == moved / "checkpoints" / "b.ckpt"
    finally:
        hidden.rename(done.parent / "run")


def test_without_a_validation_ours_is_there_and_the_newest_is_best(tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml", {"trainer.limit_val_batches": 0})
    assert fit(config, "--trainer.callbacks+=ModelCheckpoint") == 0
    run = tmp_path / "run"
    assert (run / "checkpoints" / "last.ckpt").exists()
    assert find_best(run).path.exists()
    best = ["--ckpt_path", "best", "--prompts=x", f"--output={tmp_path / 'samples'}"]
    assert main(["sample", "-c", str(run / "config.yaml"), *best]) == 0


def test_weights_alone_are_begun_from_and_not_gone_on_with(
    refused: Any, done: Path, run: Path, tmp_path: Path, caplog: Any
) -> None:
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    kept = ("state_dict", "hyper_parameters", "autoencoder", "clip_size", "global_step")
    imported = tmp_path / "imported.ckpt"  # as import-weights writes it
    torch.save({key: saved[key] for key in kept}, imported)
    elsewhere = ["--trainer.default_root_dir", tmp_path / "new"]
    error = refused("fit", "-c", done, *elsewhere, "--ckpt_path", imported)
    assert f"--init_from {imported} begins a new run from its weights" in error
    rate = ["--model.optimizer.lr", "1e-5"]
    error = refused("fit", "-c", done, "--ckpt_path", "last", *rate)
    assert "--init_from" in error
    assert "does not exist" in refused("fit", "-c", done, *elsewhere, "--init_from", "nope.ckpt")
    words = [*elsewhere, *rate, "--init_from", imported, "--init_exclude+=conditions"]
    caplog.clear()
    assert fit(done, *words) == 0
    error = caplog.text
    assert f"begins from {imported}" in error
    assert "taken: " in error
    assert "left in the checkpoint: " in error
    assert "conditions" in error.partition("left in the checkpoint: ")[2]
    # Its own checkpoint counts from then on, though the config still names the other.
    imported.unlink()
    config = tmp_path / "new" / "config.yaml"
    assert fit(config, "--ckpt_path", "last", "--trainer.max_steps=4") == 0
