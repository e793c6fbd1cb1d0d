"""Tasks log the values that they say they log, so that names can be checked before training."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from run_tiny import make_task as make_diffusion_task
from validate_tiny import make_data, make_task, make_trainer

from vidiff.discriminators import Patch3D
from vidiff.training import Task


@pytest.mark.parametrize("kind", ["diffusion", "fsq", "causal_kl"])
def test_what_a_run_logs_is_what_its_task_says(tmp_path: Path, kind: str) -> None:
    task: Task = make_diffusion_task() if kind == "diffusion" else make_task(kind)
    told = task.logged()
    assert told is not None
    trainer = make_trainer(tmp_path, val_check_interval=2, limit_val_batches=1)
    trainer.fit(task, make_data())
    found = {n for n in trainer.callback_metrics if n.startswith(("train/", "val/"))}
    assert {"train/loss", "val/loss"} <= found <= told


def test_a_discriminator_has_terms_of_its_own(tmp_path: Path) -> None:
    task = make_task(discriminator=partial(Patch3D, width=8, depth=1), adversarial_start=0)
    trainer = make_trainer(tmp_path, limit_val_batches=0, max_steps=2)
    trainer.fit(task, make_data())
    found = {name for name in trainer.callback_metrics if name.startswith("train/")}
    assert "train/discriminator" in found
    assert found <= (task.logged() or frozenset())
