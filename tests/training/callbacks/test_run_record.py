"""``run.json`` over several sessions, and what it says of the data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from run_tiny import make_data, make_task
from test_tasks import Each, trainer

from vidiff.training.callbacks import SaveCheckpoint, run_record


class Clock:
    """Seconds that pass where the test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(run_record, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def fit(folder: Path, clock: Clock, steps: int, *, ckpt: Path | None = None, fail: int = 0) -> None:
    """Each step takes ten seconds."""

    def step(run: Any, task: Any) -> None:
        clock.now += 10
        if run.global_step == fail:
            raise RuntimeError("out of luck")

    callbacks = [SaveCheckpoint(every_n_steps=2, keep_all=True), Each(step)]
    run = trainer(folder, max_steps=steps, callbacks=callbacks)
    run.fit(make_task(), make_data(), ckpt_path=ckpt, weights_only=True)


def test_training_time_is_added_up_over_sessions(tmp_path: Path, clock: Clock) -> None:
    last = tmp_path / "checkpoints" / "last.ckpt"
    for session, steps in enumerate((3, 4, 9), 1):
        fit(tmp_path, clock, steps, ckpt=last if session > 1 else None)
        clock.now += 1000  # between sessions
        assert (record(tmp_path)["training_seconds"], record(tmp_path)["sessions"]) == (
            10 * steps, session,
        )  # fmt: skip


def test_what_a_session_lost_counts_where_the_run_goes_on_in_its_folder(
    tmp_path: Path, clock: Clock
) -> None:
    run, copy, last = tmp_path / "run", tmp_path / "copy", Path("checkpoints/step_00000004.ckpt")
    with pytest.raises(RuntimeError):
        fit(run, clock, 8, fail=5)  # at step 5, one after its last checkpoint
    assert record(run)["training_seconds"] == 50
    shutil.copytree(run / "checkpoints", copy / "checkpoints")
    fit(run, clock, 6, ckpt=run / last)
    assert record(run)["training_seconds"] == 50 + 20
    fit(copy, clock, 6, ckpt=copy / last)  # a folder of its own knows of the checkpoint alone
    assert record(copy)["training_seconds"] == 40 + 20
    fit(run / "other", clock, 2)
    fit(run / "other", clock, 2)  # trained anew, nothing is added
    assert record(run / "other")["training_seconds"] == 20


def test_the_record_says_how_data_were_loaded(tmp_path: Path) -> None:
    for asked, number in ((0, 0), (1, 1), ("auto", 0)):
        folder = tmp_path / str(asked)
        run = trainer(folder, max_steps=1, limit_val_batches=asked == 1)
        run.fit(make_task(), make_data(num_workers=asked))
        data = record(folder)["data"]
        assert data["num_workers"] == number
        assert data["validation"] == ("held-out clips" if asked == 1 else None)
    assert data["num_workers_why"] == "training on the CPU needs the cores itself"
