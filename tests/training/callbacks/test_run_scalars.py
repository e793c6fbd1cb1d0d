"""The run's own record of what it logged: whatever the loggers, and through kills and resumes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from run_tiny import make_data, make_task
from test_tasks import Each
from torch.utils.tensorboard import SummaryWriter

from vidiff.pages.runs import read_curves, read_run
from vidiff.training.callbacks import SaveCheckpoint
from vidiff.training.callbacks.run_scalars import ScalarFile
from vidiff.training.trainer import VidiffTrainer


def fit(folder: Path, steps: int = 4, *, ckpt: str | None = None, **settings: Any) -> VidiffTrainer:
    settings = {"logger": False, "log_every_n_steps": 1, "callbacks": []} | settings
    settings["callbacks"] = [*settings["callbacks"], SaveCheckpoint(every_n_steps=2, keep_all=True)]
    run = VidiffTrainer(
        accelerator="cpu", max_steps=steps, default_root_dir=folder, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=1, **settings,
    )  # fmt: skip
    path = ckpt and folder / "checkpoints" / ckpt
    run.fit(make_task(), make_data(), ckpt_path=path, weights_only=True)
    return run


@pytest.mark.parametrize("kind", [None, CSVLogger, TensorBoardLogger])
def test_the_record_is_the_same_with_any_logger(tmp_path: Path, kind: Any) -> None:
    logger = kind(tmp_path, name="", version="") if kind else False
    run = fit(tmp_path, logger=logger)
    assert len(run.loggers) == bool(kind), "ours is gone when training is over"
    curves = read_curves(tmp_path)
    assert [step for step, _ in curves["train/loss"]] == [0, 1, 2, 3]
    assert len(curves["val/loss"]) == 1
    assert read_run(tmp_path).curves == curves
    if kind is TensorBoardLogger:
        (tmp_path / "scalars.jsonl").unlink()
        events = read_curves(tmp_path)
        assert events.keys() >= curves.keys() - {"epoch"}
        for tag in events.keys() & curves.keys():
            assert events[tag] == [(s, pytest.approx(v, rel=1e-6)) for s, v in curves[tag]]


def test_a_run_that_was_killed_and_goes_on_has_one_curve(tmp_path: Path) -> None:
    def die(run: Any, task: Any) -> None:
        if run.global_step == 4:
            raise RuntimeError("killed")

    whole = fit(tmp_path / "whole", 6)
    folder = tmp_path / "killed"
    with pytest.raises(RuntimeError):
        fit(folder, 6, callbacks=[Each(die)])
    path = folder / "scalars.jsonl"
    path.write_text(path.read_text() + '{"step": 3, "train/lo')  # cut off in the middle of a line
    fit(folder, 6, ckpt="step_00000002.ckpt")
    expected, actual = (read_curves(Path(where)) for where in (whole.default_root_dir, str(folder)))
    for tag in ("train/loss", "val/loss", "optimizer/gradient_norm", "optimizer/learning_rate"):
        assert actual[tag] == expected[tag]


def test_a_run_that_begins_anew_forgets_what_stood_there(tmp_path: Path) -> None:
    fit(tmp_path, 4)
    fit(tmp_path, 2)
    assert [step for step, _ in read_curves(tmp_path)["train/loss"]] == [0, 1]


def test_validation_outside_of_training_adds_nothing(tmp_path: Path) -> None:
    run = fit(tmp_path)
    before = (tmp_path / "scalars.jsonl").read_bytes()
    run.validate(make_task(), make_data(), verbose=False)
    assert (tmp_path / "scalars.jsonl").read_bytes() == before


def test_a_run_of_before_there_was_a_record_goes_on(tmp_path: Path) -> None:
    writer = SummaryWriter(str(tmp_path))
    for step in range(4):
        writer.add_scalar("train/loss", 10.0 + step, step)
    writer.close()
    file = ScalarFile(tmp_path)
    file.begin(3)
    for step in (3, 4):
        file.log_metrics({"train/loss": float(step)}, step)
    file.log_metrics({"train/loss": math.nan}, 5)
    file.close()
    *known, (last, value) = read_curves(tmp_path)["train/loss"]
    assert known == [(0, 10.0), (1, 11.0), (2, 12.0), (3, 3.0), (4, 4.0)]
    assert last == 5
    assert math.isnan(value)


def test_a_try_of_one_step_leaves_no_record(tmp_path: Path) -> None:
    fit(tmp_path, fast_dev_run=True)
    assert not (tmp_path / "scalars.jsonl").exists()


def test_the_record_of_a_trained_run_needs_no_tensorboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ScalarFile(tmp_path)
    file.begin(0)
    file.log_metrics({"val/loss": 0.5}, 7)
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    assert read_curves(tmp_path) == {"val/loss": [(7, 0.5)]}
    assert json.loads((tmp_path / "scalars.jsonl").read_text().splitlines()[0])["from_step"] == 0
