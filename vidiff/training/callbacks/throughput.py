"""How fast training is."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from vidiff.training.base import Task
from vidiff.types import VideoBatch


class Throughput(Callback):
    """Logs clips, tokens and floating-point operations per second of all processes together.

    Operations are those that the model needs: one forward pass, and twice that for the backward
    pass of what is trained; counted once. Rates are averaged from one log to the next, so no step
    waits for the device. Validation is left out; put this before other callbacks, and what they do
    between two steps counts in the next rate.
    """

    def __init__(self) -> None:
        self.flops_per_clip = 0.0
        self.tokens_per_clip = 0
        self._reset()

    def _reset(self) -> None:
        self._since, self._clips = time.monotonic(), 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: VideoBatch, batch_idx: int
    ) -> None:
        if not self.flops_per_clip and isinstance(pl_module, Task):
            # Before the task seeds this step, so that counting changes no draw of it.
            with trainer.precision_plugin.forward_context():
                self.flops_per_clip = pl_module.count_flops(batch) / len(batch)
            self.tokens_per_clip = pl_module.tokens_per_clip(batch)
            self._reset()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: VideoBatch,
        batch_idx: int,
    ) -> None:
        self._clips += len(batch)
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        seconds = time.monotonic() - self._since
        rate = self._clips * trainer.world_size / max(seconds, 1e-9)
        self._reset()
        rates = {
            "throughput/clips_per_second": rate,
            "throughput/gflop_per_second": rate * self.flops_per_clip / 1e9,
        }
        if self.tokens_per_clip:
            rates["throughput/tokens_per_second"] = rate * self.tokens_per_clip
        if torch.cuda.is_available() and pl_module.device.type == "cuda":
            rates["throughput/peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        pl_module.log_dict(rates)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reset()
