"""``run.json``: what a run was, so that its scores can be told apart from others'."""

from __future__ import annotations

import hashlib
import json
import platform
import resource
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from vidiff.files import read_json, write_text
from vidiff.provenance import hardware, source_state, versions
from vidiff.training.callbacks.precision import KeepPrecision
from vidiff.training.data import VideoDataModule
from vidiff.training.loggers import is_due
from vidiff.training.parts import Parameters, parts_of

MAX_STRETCHES = 1000
"""Stretches of steps whose times a checkpoint holds."""


class RunRecord(Callback):
    """Writes ``run.json`` into the run folder when training starts, goes on, stops and fails.

    It holds versions, a hash of the config, the source's state, hardware, numbers of parameters and
    workers, steps, seconds of training, the median time of a step, and peak memory. Seconds are
    those of all sessions, with what was lost since the last checkpoint.

    Args:
        every_seconds: at most so often it is written while training goes on.
    """

    def __init__(self, every_seconds: float = 5.0) -> None:
        self.every_seconds = every_seconds
        self.seconds, self.sessions = 0.0, 0
        self.seconds_per_step: list[float] = []
        """Of stretches of steps: as long as the loggers', as no step waits for its device."""
        self._since: float | None = None
        self._written = 0.0
        self._stretch: tuple[int, float] | None = None
        self._fixed: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.monotonic()
        self._fixed = describe_run(pl_module)
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, VideoDataModule):
            self._fixed["data"] = data.describe()
        self._add_lost_time(trainer)
        self.sessions += 1
        self._write(trainer, "running")

    def _add_lost_time(self, trainer: Trainer) -> None:
        """Count what the last session of this folder did after the checkpoint that goes on."""
        if not trainer.is_global_zero:  # which keeps the record
            return
        path = Path(trainer.default_root_dir, "run.json")
        checkpoint = Path(str(trainer.ckpt_path or "")).resolve()
        if not path.is_file() or not checkpoint.is_relative_to(path.parent.resolve()):
            return
        record = read_json(path)
        if record.get("config_sha256") == self._fixed["config_sha256"]:
            self.seconds = max(self.seconds, record["training_seconds"])
            self.sessions = max(self.sessions, record.get("sessions", 1))

    def on_train_batch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if self._stretch is None:
            self._stretch = trainer.global_step, time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        step, now = trainer.global_step, time.monotonic()
        assert self._stretch is not None, "a step began"
        begun, since = self._stretch
        if step > begun and is_due(trainer, step):
            self.seconds_per_step.append((now - since) / (step - begun))
            self._stretch = None
        if now - self._written > self.every_seconds:
            self._write(trainer, "running")

    def on_validation_start(self, *args: Any) -> None:
        self._stretch = None  # it would hold the time of the validation

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, "finished")
        self._stop()  # checkpoints of the end are written after this

    def on_exception(self, trainer: Trainer, task: Any, exception: BaseException) -> None:
        if self._since is None:
            return
        stopped = isinstance(exception, (KeyboardInterrupt, SIGTERMException))
        with suppress(OSError):  # of a full disk, which must not hide what failed
            self._write(trainer, "stopped" if stopped else f"failed: {type(exception).__name__}")
        self._stop()

    def _stop(self) -> None:
        self.seconds, self._since = self._seconds_so_far(), None

    def state_dict(self) -> dict[str, Any]:
        return {
            "seconds": self._seconds_so_far(),
            "sessions": self.sessions,
            "seconds_per_step": self.seconds_per_step[-MAX_STRETCHES:],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.sessions = state_dict["seconds"], state_dict.get("sessions", 1)
        self.seconds_per_step = list(state_dict.get("seconds_per_step", []))

    def _seconds_so_far(self) -> float:
        return self.seconds + (time.monotonic() - self._since if self._since is not None else 0.0)

    def _write(self, trainer: Trainer, status: str) -> None:
        if not trainer.is_global_zero:
            return
        self._written = time.monotonic()
        steps = trainer.estimated_stepping_batches
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        record = {
            "status": status,
            "step": trainer.global_step,
            "num_steps": None if steps == float("inf") else int(steps),
            "training_seconds": round(self._seconds_so_far(), 3),
            "sessions": self.sessions,
            "seconds_per_step": median(self.seconds_per_step) if self.seconds_per_step else None,
            "peak_memory_bytes": peak_memory(),
            **self._fixed,
            "devices": {
                "num_processes": trainer.world_size,
                "strategy": type(trainer.strategy).__name__,
                "precision": str(trainer.precision),
                **next((c.record for c in callbacks if isinstance(c, KeepPrecision)), {}),
                **hardware(),
            },
        }
        path = Path(trainer.default_root_dir, "run.json")
        write_text(path, json.dumps(record, indent=2) + "\n")


def peak_memory() -> dict[str, int]:
    """The most bytes that were in use so far: by this process, and by tensors on its GPU."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"process": host * (1 if platform.system() == "Darwin" else 1024)}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.max_memory_allocated()
    return found


def describe_run(task: LightningModule) -> dict[str, Any]:
    """What stays the same while a run goes on."""
    own = Parameters.of(*parts_of(task).values())
    config = json.dumps(dict(task.hparams), sort_keys=True, default=repr)
    return {
        "task": type(task).__name__,
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "parameters": {"trained": own.trained, "total": own.total},
        "versions": versions(),
        "source": source_state(),
    }
