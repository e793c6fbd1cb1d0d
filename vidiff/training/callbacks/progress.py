"""A progress bar that knows when training ends."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar


class RunProgressBar(TQDMProgressBar):
    """One bar for the whole of training, so that the time left is that of the run.

    Args:
        seconds: between two looks at the losses; each look waits for the device.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        super().__init__()
        self.seconds = seconds
        self._first_step, self._shown = 0, 0.0

    @property
    def predict_description(self) -> str:
        """What the bar of ``vidiff sample`` is called, and of ``vidiff encode``."""
        return getattr(self.trainer.lightning_module, "predict_description", "Sampling")

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        self._first_step = trainer.global_step
        bar = self.init_train_tqdm()
        total = trainer.estimated_stepping_batches
        bar.total = None if total == float("inf") else int(total) - self._first_step
        bar.set_description("Training")
        self.train_progress_bar = bar

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """The bar goes on."""

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        bar, now = self.train_progress_bar, time.monotonic()
        bar.n = trainer.global_step - self._first_step
        if self.is_enabled and (now - self._shown > self.seconds or bar.n == bar.total):
            self._shown = now
            bar.set_postfix(self.get_metrics(trainer, pl_module), refresh=False)
            bar.refresh()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The bar goes on."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """The losses and the rate, of which the logger knows, without the logger's version."""
        metrics = dict(super().get_metrics(trainer, pl_module))
        metrics.pop("v_num", None)
        return metrics
