"""What the last validation measured of each clip stays in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from run_tiny import make_data, make_task
from test_tasks import trainer

from vidiff.pages.runs import clip_scores_file, read_clip_scores, read_curves
from vidiff.training.callbacks import clip_scores


def fit(folder: Path, **settings: Any) -> dict[str, dict[str, float]]:
    settings = {"max_steps": 4, "limit_val_batches": 3, "val_check_interval": 2} | settings
    trainer(folder, **settings).fit(make_task(), make_data(2))
    return read_clip_scores(folder)


@pytest.mark.parametrize("held", [1, 64])
def test_the_mean_over_the_clips_is_what_was_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(clip_scores, "HELD", held)
    found, logged = fit(tmp_path), read_curves(tmp_path)
    assert set(found) == make_task().logged_by_clip()
    for name, scores in found.items():
        assert len(scores) == 5, "three batches of two, the last of one"
        mean = sum(scores.values()) / len(scores)
        assert mean == pytest.approx(logged[name][-1][1], rel=1e-5), "of the last validation"
        assert mean != pytest.approx(logged[name][0][1], rel=1e-5), "there was another before"


def test_files_of_processes_are_read_together_and_those_of_others_go(tmp_path: Path) -> None:
    stale = clip_scores_file(tmp_path, 3)
    tmp_path.mkdir(exist_ok=True)
    stale.write_text('{"id": "old", "val/loss": 1.0}\n')
    assert read_clip_scores(tmp_path) == {"val/loss": {"old": 1.0}}
    scores = fit(tmp_path)["val/loss"]
    assert "old" not in scores
    assert not stale.exists()
    clip_scores_file(tmp_path, 1).write_text('{"id": "of another process", "val/loss": 1.0}\n')
    assert read_clip_scores(tmp_path)["val/loss"] == scores | {"of another process": 1.0}


def test_a_validation_that_fails_leaves_the_file_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fit(tmp_path)
    task = make_task()
    usual, calls = task.measure, []

    def fail(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise RuntimeError("no memory")
        return usual(*args)

    monkeypatch.setattr(task, "measure", fail)
    settings: dict[str, Any] = {"max_steps": 4, "limit_val_batches": 3, "val_check_interval": 2}
    with pytest.raises(RuntimeError, match="no memory"):
        trainer(tmp_path, **settings).fit(task, make_data(2))
    assert read_clip_scores(tmp_path) == before
    assert not list(tmp_path.glob(".clip_scores*"))


def test_nothing_is_kept_of_validations_outside_of_training(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trainer(tmp_path, limit_val_batches=2).validate(make_task(), make_data(2), verbose=False)
    assert read_clip_scores(tmp_path) == {}
