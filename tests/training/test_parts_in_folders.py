"""Frozen conditions that come from a folder are named in checkpoints, and not held."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import vidiff
from vidiff.checkpoints import read_checkpoint
from vidiff.cli.run_folder import differences
from vidiff.conditions.base import TextCondition
from vidiff.config_nodes import describe
from vidiff.data import MovingShapes
from vidiff.denoisers import DiT
from vidiff.model import load_model
from vidiff.patchifiers import Tubelet
from vidiff.training import DiffusionTask
from vidiff.training.data import VideoDataModule
from vidiff.training.trainer import VidiffTrainer
from vidiff.types import Signal


class FromFolder(TextCondition):
    """What a plugin's frozen text encoder is: one tensor of a folder, per length of a caption.

    Args:
        folder: holds ``table.pt``.
    """

    frozen = True
    text_dim = 8

    def __init__(self, *, folder: str) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.load(Path(folder) / "table.pt"))

    def read(self, prompts: Sequence[str]) -> Signal:
        return Signal(vector=self.table[[len(prompt) % 4 for prompt in prompts]])


class Trainable(FromFolder):
    """The same, trained along."""

    frozen = False


SMALL = partial(
    MovingShapes, num_videos=2, num_val_videos=2, num_frames=2, height=16, width=16,
    radius=(3.0, 4.0), speed=(0.0, 1.0),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text").mkdir()
    torch.save(torch.arange(32.0).view(4, 8) / 31, tmp_path / "text" / "table.pt")
    return tmp_path / "text"


def make(folder: Path | str, condition: type[FromFolder] = FromFolder) -> DiffusionTask:
    return DiffusionTask(
        denoiser=partial(
            DiT, width=16, depth=1, num_heads=2, patchifier=partial(Tubelet, patch_size=(1, 8, 8))
        ),
        conditions={"text": partial(condition, folder=str(folder))},
    )


def trainer(root: Path, max_steps: int = 1, precision: Any = "32-true") -> VidiffTrainer:
    return VidiffTrainer(
        accelerator="cpu", logger=False, default_root_dir=root, max_steps=max_steps,
        enable_progress_bar=False, enable_model_summary=False, precision=precision,
    )  # fmt: skip


def fit(task: DiffusionTask, root: Path, precision: Any = "32-true") -> Path:
    trainer(root, precision=precision).fit(task, VideoDataModule(dataset=SMALL, batch_size=2))
    return root / "checkpoints" / "last.ckpt"


def test_a_checkpoint_names_folder_and_hash(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    task = make("text")
    checkpoint = read_checkpoint(fit(task, tmp_path))
    assert not [key for key in checkpoint["state_dict"] if "conditions" in key]
    named = checkpoint["named"]["conditions.text"]
    assert named["folder"] == str(folder)
    assert len(named["hash"]) == 64
    assert "autoencoder" in checkpoint, "what is in no folder is described as before"
    monkeypatch.chdir("/")
    own: Any = task
    for read in (vidiff.load, load_model):
        loaded: Any = read(tmp_path / "checkpoints" / "last.ckpt")
        assert torch.equal(loaded.conditions["text"].table, own.conditions["text"].table)


def test_what_is_trained_stays_inside(folder: Path, tmp_path: Path) -> None:
    task = make(folder, Trainable)
    saved = fit(task, tmp_path)
    checkpoint = read_checkpoint(saved)
    assert "conditions.text.table" in checkpoint["state_dict"]
    assert checkpoint["named"] == {}


@pytest.mark.parametrize("read", [vidiff.load, load_model])
def test_another_or_no_folder_is_refused_in_one_line(
    read: Any, folder: Path, tmp_path: Path
) -> None:
    saved = fit(make(folder), tmp_path)
    torch.save(torch.zeros(4, 8), folder / "table.pt")
    with pytest.raises(ValueError, match="has other weights or settings than at training") as told:
        read(saved)
    assert f"conditions.text: {folder}" in str(told.value)
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="not there any more: put it back, or a link") as told:
        read(saved)
    assert f"does not hold its conditions.text, which was read from {folder}," in str(told.value)
    assert "\n" not in str(told.value)


def test_a_run_goes_on_from_a_folder_that_moved_and_refuses_another(
    folder: Path, tmp_path: Path
) -> None:
    saved = fit(make(folder), tmp_path)
    moved = folder.rename(tmp_path / "moved")
    data = VideoDataModule(dataset=SMALL, batch_size=2)
    trainer(tmp_path, 2).fit(make(moved), data, ckpt_path=str(saved))
    held = read_checkpoint(saved)
    assert held["global_step"] == 2
    assert held["named"]["conditions.text"]["folder"] == str(moved)
    torch.save(torch.zeros(4, 8), moved / "table.pt")
    with pytest.raises(ValueError, match="has other weights"):
        trainer(tmp_path, 3).fit(make(moved), data, ckpt_path=str(saved))
    asked, there = ({"conditions": describe(make(f).factories.conditions)} for f in ("a", "b"))
    assert not differences(asked, there)


def test_the_hash_does_not_depend_on_the_precision_of_the_run(folder: Path, tmp_path: Path) -> None:
    saved = fit(make(folder), tmp_path / "single")
    half = fit(make(folder), tmp_path / "half", "bf16-true")
    assert read_checkpoint(saved)["named"] == read_checkpoint(half)["named"]
    vidiff.load(half)
