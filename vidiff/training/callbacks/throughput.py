"""How fast training is."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from vidiff.training.loggers import is_due
from vidiff.training.task import Task
from vidiff.types import Batch, Size


class Throughput(Callback):
    """Logs clips, tokens and floating-point operations per second of all processes together.

    Operations are those of ``Task.count_flops``. Rates are averaged from one log to the next, so no
    step waits for the device; validation is left out. What callbacks after this one do between two
    steps counts in the next rate.
    """

    def __init__(self) -> None:
        self.costs: dict[Size, tuple[float, int]] = {}
        """Operations and tokens of a clip of each size."""
        self._reset()

    def _reset(self) -> None:
        self._since = time.monotonic()
        self._clips, self._flops, self._tokens = 0, 0.0, 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        if isinstance(pl_module, Task) and batch.size not in self.costs:
            # Before the task seeds this step, so that counting changes no draw of it.
            with trainer.precision_plugin.forward_context():
                flops = pl_module.count_flops(batch) / len(batch)
            self.costs[batch.size] = flops, pl_module.tokens_per_clip(batch)
            self._reset()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, *args: Any
    ) -> None:
        flops, tokens = self.costs.get(batch.size, (0.0, 0))
        self._clips += len(batch)
        self._flops += flops * len(batch)
        self._tokens += tokens * len(batch)
        if not is_due(trainer, trainer.global_step):
            return
        per_second = trainer.world_size / max(time.monotonic() - self._since, 1e-9)
        rates = {
            "throughput/clips_per_second": self._clips * per_second,
            "throughput/gflop_per_second": self._flops * per_second / 1e9,
        }
        if self._tokens:
            rates["throughput/tokens_per_second"] = self._tokens * per_second
        self._reset()
        if torch.cuda.is_available() and pl_module.device.type == "cuda":
            rates["throughput/peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        pl_module.log_dict(rates)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reset()
