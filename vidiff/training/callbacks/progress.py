"""A progress bar that knows when training ends, and messages that stand above it."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from vidiff.training.task import Task


class RunProgressBar(TQDMProgressBar):
    """One bar for the whole of training, so that the time left is that of the run.

    A run that goes on shows the steps that it has. Sampling and encoding count clips. Whatever else
    is printed meanwhile stands on lines of its own above the bar.

    Args:
        seconds: between two looks at the losses; each look waits for the device.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        super().__init__()
        self.seconds = seconds
        self._shown = 0.0
        self._lines: ExitStack | None = None

    @property
    def predict_description(self) -> str:
        """What the bar of ``vidiff sample`` is called, and of ``vidiff encode``."""
        return getattr(self.trainer.lightning_module, "predict_description", "Sampling")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if self.is_enabled and self._lines is None:
            self._lines = ExitStack()
            self._lines.enter_context(lines_above_bars())

    def teardown(self, *args: Any, **kwargs: Any) -> None:
        self._let_go()

    def on_exception(self, *args: Any) -> None:
        for bar in live_bars():  # or the error would stand on the bar's own line
            bar.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    # Bars write to the terminal itself.

    def init_sanity_tqdm(self) -> Tqdm:
        return _below(super().init_sanity_tqdm)

    def init_train_tqdm(self) -> Tqdm:
        return _below(super().init_train_tqdm)

    def init_validation_tqdm(self) -> Tqdm:
        return _below(super().init_validation_tqdm)

    def init_test_tqdm(self) -> Tqdm:
        return _below(super().init_test_tqdm)

    def init_predict_tqdm(self) -> Tqdm:
        return _below(super().init_predict_tqdm)

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        bar = self.init_train_tqdm()
        total = trainer.estimated_stepping_batches
        bar.total = None if total == float("inf") else int(total)
        bar.n = bar.initial = trainer.global_step
        bar.set_description("Training")
        self.train_progress_bar = bar

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """The bar goes on."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        bar, now = self.train_progress_bar, time.monotonic()
        bar.n = trainer.global_step
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
        if isinstance(pl_module, Task) and pl_module.last_loss is not None:
            metrics["train/loss"] = float(pl_module.last_loss)
        return metrics

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_predict_start(trainer, pl_module)
        bar = self.predict_progress_bar
        bar.unit, bar.total = " clips", getattr(trainer.predict_dataloaders, "num_clips", None)
        bar.refresh()

    def on_predict_batch_start(self, *_: Any, **__: Any) -> None:
        """The bar goes on."""

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        self.predict_progress_bar.update(len(batch))


def _below(init: Callable[[], Tqdm]) -> Tqdm:
    before = sys.stdout
    if isinstance(before, AboveBars):
        sys.stdout = before.stream
    try:
        return init()
    finally:
        sys.stdout = before


def live_bars() -> list[Tqdm]:
    """The bars that are on the screen."""
    return [bar for bar in getattr(Tqdm, "_instances", ()) if not bar.disable]


@contextmanager
def lines_above_bars() -> Iterator[None]:
    """While this lasts, what is printed or logged stands on lines of its own above the bars."""
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    streams = {name: AboveBars(stream) for name, stream in before.items()}
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [
        (handler, name)
        for logger in loggers
        for handler in getattr(logger, "handlers", ())
        for name, stream in before.items()
        if isinstance(handler, logging.StreamHandler) and handler.stream is stream
    ]
    for name, stream in streams.items():
        setattr(sys, name, stream)
    for handler, name in handlers:
        handler.setStream(streams[name])
    try:
        yield
    finally:
        for handler, name in handlers:
            if handler.stream is streams[name]:
                handler.setStream(before[name])
        for name, stream in streams.items():
            stream.finish()
            if getattr(sys, name) is stream:  # else somebody else has put his own there
                setattr(sys, name, before[name])


class AboveBars:
    """A text stream that takes the bars away, writes whole lines, and shows the bars again."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._process = os.getpid()
        self._begun = ""

    def write(self, text: str) -> int:
        """Write what is whole lines by now; the rest waits for its end."""
        # The bars do not belong to a worker, and some other bar rewrites a line of its own.
        if os.getpid() != self._process or text.startswith("\r"):
            return self.stream.write(text)
        lines, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            bars = live_bars()
            for bar in bars:
                bar.clear()
            self.stream.write(lines + newline)
            self.stream.flush()
            for bar in bars:
                bar.refresh()
        return len(text)

    def finish(self) -> None:
        """End what was begun."""
        if self._begun:
            self.write("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
