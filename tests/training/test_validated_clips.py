"""Validation on the training clips is said once, recorded, and shown with the curves."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from run_tiny import make_task
from test_tasks import trainer

from vidiff.data import VideoFolder
from vidiff.pages.runs import read_run
from vidiff.training.data import VideoDataModule


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_it_is_said_where_no_clips_are_held_out(
    tmp_path: Path, caplog: Any, make_video: Any, fraction: float
) -> None:
    for name in "abcd":
        make_video(tmp_path / "clips" / f"{name}.mp4", [k / 10 for k in range(8)])
    dataset = partial(
        VideoFolder, root=str(tmp_path / "clips"), num_frames=3, height=16, width=16,
        val_fraction=fraction,
    )  # fmt: skip
    run = trainer(tmp_path / "run", max_steps=2, limit_val_batches=1, val_check_interval=1)
    run.fit(make_task(), VideoDataModule(dataset=dataset, batch_size=1))
    said = [r for r in caplog.records if "validation is on the training clips" in r.getMessage()]
    assert [record.levelno for record in said] == ([] if fraction else [logging.WARNING])
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"]["validation"] == ("held-out clips" if fraction else "training clips")
    assert read_run(tmp_path / "run").validates_on_training is not bool(fraction)
