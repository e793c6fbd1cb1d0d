"""Rare ends of a run: a full disk under sharded weights, a stop that is recorded, no log ever."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException

from vidiff.precision import Choice
from vidiff.training.callbacks import KeepPrecision
from vidiff.training.checkpoint_files import _of_the_disk
from vidiff.training.loggers import is_due


def test_a_full_disk_is_found_in_what_sharded_writes_report() -> None:
    full, summary = OSError(errno.ENOSPC, "No space left on device"), []
    assert _of_the_disk(full) is full
    assert _of_the_disk(CheckpointException("write", {1: (full, summary)})) is full  # type: ignore[dict-item]
    assert _of_the_disk(CheckpointException("write", {0: (ValueError("x"), summary)})) is None  # type: ignore[dict-item]


def test_a_run_that_fails_records_the_products_it_was_trained_with() -> None:
    before = torch.get_float32_matmul_precision()
    callback = KeepPrecision(Choice("32-true", "so"), None, "medium")
    trainer: Any = SimpleNamespace(precision="32-true", accelerator="cpu")
    callback.quiet = True
    callback.setup(trainer, None, "fit")  # type: ignore[arg-type]
    assert torch.get_float32_matmul_precision() == "medium"
    callback.on_exception()
    assert callback.record["matmul_precision"] == "medium"
    assert torch.get_float32_matmul_precision() == before


def test_a_step_that_was_not_ended_keeps_what_was_before() -> None:
    before = torch.get_float32_matmul_precision()
    callback = KeepPrecision(None, None, "auto")
    callback._multiply("high")
    callback._multiply("high")
    callback._restore()
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(("interval", "due"), [(0, []), (1, [1, 2, 3, 4]), (2, [2, 4])])
def test_logs_are_due_every_interval_and_never_at_0(interval: int, due: list[int]) -> None:
    trainer: Any = SimpleNamespace(log_every_n_steps=interval)
    assert [step for step in range(5) if is_due(trainer, step)] == due
