"""A trainer whose checkpoints are there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from torch.distributed.checkpoint.api import CheckpointException

from vidiff.training.checkpoint_files import CheckpointFiles, discard, publish, unfinished


class WholeCheckpoints(Trainer):
    """Writes under a temporary name and renames; a full disk is one error on all processes."""

    def save_checkpoint(
        self,
        filepath: str | Path,
        weights_only: bool | None = None,
        storage_options: Any | None = None,
    ) -> None:
        """Write a checkpoint that is there whole or not at all; all processes call this together.

        Raises:
            OSError: on all processes, if the file cannot be written.
        """
        own = isinstance(self.strategy.checkpoint_io, CheckpointFiles)
        if self.model is None or not own or "://" in str(filepath):
            super().save_checkpoint(filepath, weights_only, storage_options)
            return
        final, failure = Path(filepath), ""
        temporary = unfinished(final)
        try:
            super().save_checkpoint(temporary, weights_only, storage_options)
        except (OSError, CheckpointException) as error:  # the second of shards, on all processes
            cause = _of_the_disk(error)
            if cause is None:
                raise
            failure = cause.strerror or str(cause)
            # Of the process that writes: the others wait for it.
            self.strategy.barrier("Trainer.save_checkpoint")
        if self.is_global_zero:
            try:
                if not failure:
                    publish(temporary, final)
            except OSError as error:
                failure = error.strerror or str(error)
            discard(temporary)
        failure = self.strategy.broadcast(failure)
        if failure:
            raise OSError(
                f"checkpoint {final} cannot be written: {failure}. Those before it are whole: make "
                "room, then go on with --ckpt_path last"
            )


def _of_the_disk(error: BaseException) -> OSError | None:
    """The error of the disk that a failed write of a checkpoint comes from, if it does."""
    failures = getattr(error, "failures", None)
    causes = [cause for cause, _ in failures.values()] if failures else [error]
    return next((cause for cause in causes if isinstance(cause, OSError)), None)
