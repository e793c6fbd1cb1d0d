"""``clip_scores-0.jsonl``: what the last validation measured of each clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from vidiff.files import replacing
from vidiff.pages.runs import clip_scores_file
from vidiff.types import Batch

HELD = 64
"""Batches whose scores wait on the device, so that validation seldom waits for it."""


class ClipScores(Callback):
    """Writes the scores of single clips in validations of ``fit``; ablations pair runs by them.

    A task returns ``{"clip_scores": {"val/loss": scores}}`` from ``validation_step``, (b,) each.
    Every process writes the clips that it validated into a file of its own.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._file: TextIO | None = None
        self._held: list[tuple[list[str], list[str], Tensor]] = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        scores = outputs.get("clip_scores") if isinstance(outputs, Mapping) else None
        is_dry = trainer.sanity_checking or trainer.fast_dev_run  # type: ignore[attr-defined]
        if not scores or is_dry or trainer.state.fn != "fit":
            return
        if self._file is None:
            path = clip_scores_file(Path(trainer.default_root_dir), trainer.global_rank)
            temporary = self._open.enter_context(replacing(path))
            self._file = self._open.enter_context(temporary.open("w", encoding="utf-8"))
        values = torch.stack([each.detach().float() for each in scores.values()])
        self._held.append((batch.ids, list(scores), values))
        if len(self._held) >= HELD:
            self._write()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._file is None:
            return
        self._write()
        self._open.close()
        self._file = None
        if trainer.is_global_zero:  # of an earlier session with more processes
            folder = Path(trainer.default_root_dir)
            for path in folder.glob(clip_scores_file(folder, "*").name):
                number = path.stem.rpartition("-")[2]
                if number.isdigit() and int(number) >= trainer.world_size:
                    path.unlink(missing_ok=True)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._held.clear()
        self._file = None
        # The file of the validation before stays.
        self._open.__exit__(type(exception), exception, exception.__traceback__)

    def _write(self) -> None:
        assert self._file is not None
        for ids, names, values in self._held:
            for clip, row in zip(ids, values.T.tolist(), strict=True):
                line = {"id": clip, **dict(zip(names, row, strict=True))}
                self._file.write(json.dumps(line) + "\n")
        self._held.clear()
