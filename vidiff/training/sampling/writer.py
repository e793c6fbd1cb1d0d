"""Writing of sampled videos, while the next are sampled."""

from __future__ import annotations

import functools
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from vidiff.background import Background
from vidiff.training.sampling.folder import SampleFolder
from vidiff.training.sampling.prompts import PromptBatch


class WriteSamples(Callback):
    """Writes each batch while the next is sampled, and the list when all are there."""

    def __init__(self, folder: SampleFolder, background: Background) -> None:
        self.folder, self.background = folder, background

    def on_predict_start(self, trainer: Trainer, task: Any) -> None:
        with task.averaged() as model:
            unknown = model.unknown_words(self.folder.prompts)
        if unknown:
            rank_zero_warn(f"words that training never met: {', '.join(unknown)}")

    def on_predict_batch_end(
        self, trainer: Trainer, task: LightningModule, outputs: Any, batch: PromptBatch, *args: Any
    ) -> None:
        for index, pixels in zip(batch.indices, outputs.float().cpu(), strict=True):
            self.background.submit(functools.partial(self.folder.write, index, pixels))
        self.background.check()

    def on_predict_end(self, trainer: Trainer, task: LightningModule) -> None:
        self.background.drain()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            self.folder.finish()
