"""``scalars.jsonl``: everything that a run logged, whatever its loggers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from vidiff.pages.runs import SCALARS


class RunScalars(Callback):
    """Writes what ``fit`` logs into ``scalars.jsonl`` of the run folder, which reports read."""

    def __init__(self) -> None:
        self._file: ScalarFile | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._file = ScalarFile(Path(trainer.default_root_dir))
            trainer.loggers = [*trainer.loggers, self._file]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._file is not None:
            self._file.begin(trainer.global_step)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._file is not None:
            trainer.loggers = [logger for logger in trainer.loggers if logger is not self._file]
            self._file.close()
            self._file = None


class ScalarFile(Logger):
    """A logger of one file: scalars as JSON, a line each time."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / SCALARS
        self._file: TextIOWrapper | None = None

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def begin(self, step: int) -> None:
        """Say from which step on a session logs; what stood before is kept if it goes on."""
        if not step:
            self.path.unlink(missing_ok=True)
        self._write({"step": step, "from_step": step})

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self._file is not None:  # else training has not begun
            self._write({"step": step, **metrics})

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """They are in ``config.yaml``."""

    def close(self) -> None:
        """No more is written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            cut_off = self.path.is_file() and not self.path.read_bytes().endswith(b"\n")
            self._file = self.path.open("a", encoding="utf-8")
            self._file.write("\n" if cut_off else "")
        self._file.write(json.dumps(line, default=float) + "\n")
        self._file.flush()
