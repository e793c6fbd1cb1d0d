"""Checkpoints that are whole at every moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn

from vidiff.training.checkpoint_files import link, sweep
from vidiff.training.loggers import is_due
from vidiff.training.stopping import StopSignals, end
from vidiff.training.task import Task


class SaveCheckpoint(ModelCheckpoint):
    """Keeps the newest checkpoint as ``checkpoints/step_….ckpt``, and ``last.ckpt`` naming it.

    The older one goes when the newer one is complete. The last step is saved before anything that
    follows training (validation, samples) can fail. Ctrl-C and SIGTERM save after the step that is
    being trained, and end training; a second Ctrl-C ends it at once.

    While a term of the loss is in doubt (see ``Task.check_guards``) the last good one stays: the
    next waits until it is not, and one at the end is written next to it, ``doubtful_step_….ckpt``.

    Args:
        every_n_steps: optimizer steps between two checkpoints.
        keep_all: keep the older ones as well.
    """

    def __init__(self, every_n_steps: int = 500, keep_all: bool = False) -> None:
        super().__init__(
            filename="step_{step:08d}",
            auto_insert_metric_name=False,
            every_n_train_steps=every_n_steps,
            save_top_k=-1 if keep_all else 1,
            save_last="link",
            enable_version_counter=False,
        )
        self.overdue = False
        self.signals = StopSignals()
        self.stopped_at: int | None = None
        """The step that was saved since training was told to end."""
        self._outdated: list[str] = []
        self._seen = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.dirpath = os.path.join(trainer.default_root_dir, "checkpoints")
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and trainer.is_global_zero:
            sweep(Path(self.dirpath))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._seen, self.stopped_at = trainer.global_step, None
        self._num_steps = trainer.estimated_stepping_batches
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return  # nothing is saved

        def may_end_now() -> bool:
            """Whether what is trained is saved, or stands still."""
            alone = trainer.world_size == 1
            return alone and (trainer.validating or self._is_saved(trainer))

        self.signals.listen(trainer, may_end_now)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        super().on_train_batch_end(trainer, pl_module, *args)
        step = trainer.global_step
        if self.overdue and is_due(trainer, step):
            self._save(trainer)
        if step == self._seen or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return  # gradients of this step are still being gathered
        self._seen = step
        told = self.signals.agreed()
        if told or step == self._num_steps:
            self._save(trainer)
        if told:
            self._note_stop(trainer)
            self.signals.finish()
            end(told)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.finish()
        self._save(trainer)
        if self.overdue:
            assert self.dirpath is not None
            name = f"doubtful_step_{trainer.global_step:08d}.ckpt"
            trainer.save_checkpoint(os.path.join(self.dirpath, name), weights_only=False)

    def on_exception(self, trainer: Trainer, *args: Any) -> None:
        if not self.signals.at_once:
            return
        self.signals.at_once = False
        if not self._is_saved(trainer):  # in the middle of a validation
            _begin_validation_again(trainer)
            self._save(trainer)
        self._note_stop(trainer)

    def _is_saved(self, trainer: Trainer) -> bool:
        return self._last_global_step_saved == trainer.global_step > 0

    def _note_stop(self, trainer: Trainer) -> None:
        if self._is_saved(trainer):
            self.stopped_at = trainer.global_step

    def _save(self, trainer: Trainer) -> None:
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)

    def _save_topk_checkpoint(self, trainer: Trainer, monitor_candidates: dict[str, Any]) -> None:
        task = trainer.lightning_module
        self.overdue = isinstance(task, Task) and not task.check_guards()
        if not self.overdue:
            super()._save_topk_checkpoint(trainer, monitor_candidates)
            return
        rank_zero_warn(
            f"a term of the loss is zero at step {trainer.global_step}: the last good checkpoint "
            "is kept until it is not"
        )

    def _save_last_checkpoint(self, trainer: Trainer, monitor_candidates: dict[str, Any]) -> None:
        if self._last_checkpoint_saved:  # by this run, and no good one need be there yet
            super()._save_last_checkpoint(trainer, monitor_candidates)
        outdated, self._outdated = self._outdated, []
        for path in outdated:
            super()._remove_checkpoint(trainer, path)

    def _remove_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        """Not before ``last.ckpt`` names the new one."""
        self._outdated.append(filepath)

    @staticmethod
    def _link_checkpoint(trainer: Trainer, filepath: str, linkpath: str) -> None:
        """Point the link at the new file in one go: the original removes the old one first."""
        if trainer.is_global_zero:
            link(Path(filepath), Path(linkpath))
        trainer.strategy.barrier()


def _begin_validation_again(trainer: Trainer) -> None:
    """Let a run that is resumed do the validation anew that is being left."""
    progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
    before = progress.total.completed - progress.current.completed
    # Lightning takes it for unfinished where a batch was begun and not processed.
    counts: list[tuple[Any, int]] = [(progress.total, before), (progress.current, 0)]
    for count, done in counts:
        count.ready = count.started = done + 1
        count.processed = count.completed = done
    progress.is_last_batch = False
