"""Checkpoints that are whole at every moment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn

from vidiff.training.base import Task


class SaveCheckpoint(ModelCheckpoint):
    """Keeps the newest checkpoint as ``checkpoints/step_….ckpt``, and ``last.ckpt`` naming it.

    The older one goes when the newer one is complete. One is written at the end of training too.
    While a term of the loss is in doubt (see ``Task.all_well``) the last good one stays: the next
    waits until it is not, and one at the end is written beside it, as ``doubtful_step_….ckpt``.

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

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.dirpath = os.path.join(trainer.default_root_dir, "checkpoints")
        super().setup(trainer, pl_module, stage)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.overdue and trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)
        if self.overdue:
            assert self.dirpath is not None
            name = f"doubtful_step_{trainer.global_step:08d}.ckpt"
            trainer.save_checkpoint(os.path.join(self.dirpath, name), weights_only=False)

    def _save(self, trainer: Trainer) -> None:
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)

    def _save_topk_checkpoint(self, trainer: Trainer, monitor_candidates: dict[str, Any]) -> None:
        task = trainer.lightning_module
        self.overdue = isinstance(task, Task) and not task.all_well()
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

    @staticmethod
    def _link_checkpoint(trainer: Trainer, filepath: str, linkpath: str) -> None:
        """Point the link at the new file in one go: the original removes the old one first."""
        if trainer.is_global_zero:
            link = Path(linkpath)
            temporary = link.with_name(f".{link.name}")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(os.path.relpath(filepath, link.parent))
            os.replace(temporary, link)
        trainer.strategy.barrier()
