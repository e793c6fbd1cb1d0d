"""Checkpoints that are whole at every moment."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class SaveCheckpoint(ModelCheckpoint):
    """Keeps the newest checkpoint as ``checkpoints/step_….ckpt``, and ``last.ckpt`` naming it.

    The older one goes when the newer one is complete. One is written at the end of training too.

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

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.dirpath = os.path.join(trainer.default_root_dir, "checkpoints")
        super().setup(trainer, pl_module, stage)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)

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
