"""Checkpoint files: whole or not there, on any disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer
from torch.distributed.checkpoint.api import CheckpointException

from vidiff.checkpoints import CheckpointFile
from vidiff.files import flush_to_disk

UNFINISHED = ".unfinished"
"""Ending of the temporary name of a checkpoint that is being written."""


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint straight into its folder.

    Lightning's own builds the whole file in memory, writes it to ``$TMPDIR`` and moves it, which
    needs its size in memory and on two disks, and is no single rename between disks.
    """

    opened: CheckpointFile | None = None
    """A checkpoint that is open already, and is not read again."""

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if self.opened is not None and self.opened.path == Path(path):
            return dict(self.opened.whole)
        return super().load_checkpoint(path, *args, **kwargs)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("wb") as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:  # how torch.save reports a write that failed
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def unfinished(path: Path) -> Path:
    """The temporary name of a checkpoint, next to its final one."""
    return path.with_name(f".{path.name}{UNFINISHED}")


def publish(temporary: Path, final: Path) -> None:
    """Give a complete checkpoint, a file or a folder, its final name."""
    files = [p for p in temporary.rglob("*") if p.is_file()] if temporary.is_dir() else [temporary]
    for path in [*files, temporary]:
        flush_to_disk(path)
    if final.is_dir() and not final.is_symlink():  # a rename replaces files only
        outdated = unfinished(final.with_name(f"{final.name}.outdated"))
        discard(outdated)
        final.rename(outdated)
        temporary.rename(final)
        discard(outdated)
    else:
        os.replace(temporary, final)
    flush_to_disk(final.parent)


def discard(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def link(target: Path, name: Path) -> None:
    """Let ``name`` mean ``target`` in one step; a copy where the disk knows no links."""
    temporary = unfinished(name)
    discard(temporary)
    try:
        temporary.symlink_to(os.path.relpath(target, name.parent))
    except OSError:  # FAT, some network disks, Windows without the privilege
        if target.is_dir():
            shutil.copytree(target, temporary)
        else:
            shutil.copyfile(target, temporary)
        publish(temporary, name)
        return
    if name.is_dir() and not name.is_symlink():
        discard(name)
    os.replace(temporary, name)


def sweep(folder: Path) -> None:
    """Remove what a process left half written when it was killed."""
    for path in folder.glob(f".*{UNFINISHED}"):
        discard(path)


class WholeCheckpoints(Trainer):
    """Writes under a temporary name and renames; a full disk is one error on all processes."""

    def save_checkpoint(
        self,
        filepath: str | Path,
        weights_only: bool | None = None,
        storage_options: Any | None = None,
    ) -> None:
        """Write it, all processes together; if that fails, an ``OSError`` is raised on all."""
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

    @contextmanager
    def holding(self, opened: CheckpointFile) -> Iterator[None]:
        """Let Lightning have a checkpoint that is open, but not of shards, instead of reading."""
        io = self.strategy.checkpoint_io
        if isinstance(io, CheckpointFiles):
            io.opened = opened
        try:
            yield
        finally:
            if isinstance(io, CheckpointFiles):
                io.opened = None


def _of_the_disk(error: BaseException) -> OSError | None:
    """The error of the disk that a failed write of a checkpoint comes from, if it does."""
    failures = getattr(error, "failures", None)
    causes = [cause for cause, _ in failures.values()] if failures else [error]
    return next((cause for cause in causes if isinstance(cause, OSError)), None)
