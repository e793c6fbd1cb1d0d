"""The run folder, ``trainer.default_root_dir``: one run, its checkpoints and their config."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from jsonargparse._util import get_import_path, import_object
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from vidiff.checkpoints import CheckpointFile
from vidiff.errors import UsageError
from vidiff.files import write_text
from vidiff.precision import AUTO
from vidiff.training.loggers import log_config
from vidiff.weight_files import why_unreadable

CONFIG = "config.yaml"

MEANINGS = ("last", "auto", "best")
"""Words that ``--ckpt_path`` takes in the place of a path."""

FREE = ("sampler", "guidance", "metrics")
"""Arguments of a task that no weight depends on: the config's are used."""

PLACES = ("folder", "tokenizer", "device", "remember")
"""Settings of what a folder holds that say where it is, and where and how it is computed."""


class SaveConfig(SaveConfigCallback):
    """Writes the config after the first step, as a run that fails before leaves the folder free.

    A run that goes on keeps its first config; a changed one is written next to it, numbered.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing yet, unlike the base class."""

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if self.already_saved or not trainer.is_global_zero:
            return
        self.already_saved = True
        folder = Path(trainer.default_root_dir)
        if self.config.trainer.precision == AUTO:  # so that the config stands alone
            self.config.trainer.precision = str(trainer.precision)
        text = self.parser.dump(self.config, skip_unset=False, skip_validation=True)
        log_config(trainer, text)
        number, path = 1, folder / CONFIG
        while path.exists():
            if path.read_text(encoding="utf-8") == text:
                return
            number += 1
            path = folder / f"config-{number}.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


def with_loggers_in(folder: Path, trainer: Namespace) -> Namespace:
    """A trainer's settings, with loggers writing into the run folder unless told otherwise.

    By themselves some write into the working directory (``WandbLogger``, ``MLFlowLogger``).
    """
    trainer = deepcopy(trainer)
    for logger in trainer.logger if isinstance(trainer.logger, list) else [trainer.logger]:
        arguments = getattr(logger, "init_args", None) if isinstance(logger, Namespace) else None
        if arguments is None or not hasattr(arguments, "save_dir"):
            continue
        # One that passes ``save_dir`` on, by ``**kwargs``, has no parameter of that name.
        parameter = inspect.signature(import_object(logger.class_path)).parameters.get("save_dir")
        if arguments.save_dir == (parameter.default if parameter else None):
            arguments.save_dir = str(folder / (arguments.save_dir or ""))
            folder.mkdir(parents=True, exist_ok=True)  # W&B takes no folder that is not there
    return trainer


def refuse_second_run(folder: Path, ckpt_path: str | None, began: bool) -> None:
    """Keep a new run out of a folder that holds another one.

    ``began`` is whether the folder holds a run of this very model that left no checkpoint.

    Raises:
        UsageError: unless the folder holds no run, or ``ckpt_path`` is one of its checkpoints.
    """
    if ckpt_path and Path(ckpt_path).resolve().is_relative_to(folder.resolve()):
        return
    elsewhere = "choose another folder by --trainer.default_root_dir"
    if next(whole_checkpoints(folder), None):
        raise UsageError(
            f"{folder} holds another run: go on with it by --ckpt_path last, or {elsewhere}"
        )
    if began:
        raise UsageError(
            f"{folder} holds a run that ended before its first checkpoint: --ckpt_path auto begins "
            f"it again; or {elsewhere}"
        )
    if (folder / CONFIG).exists():
        raise UsageError(
            f"{folder} holds another run, of another model, which left no checkpoint: {elsewhere}, "
            "or remove that one"
        )


def find_checkpoint(ckpt_path: str, folder: Path, command: str = "fit") -> CheckpointFile | None:
    """The checkpoint that ``ckpt_path`` means; what is damaged is passed over and named.

    Args:
        ckpt_path: a path; ``last`` for the newest of the folder; ``auto`` for that, or None;
            ``best`` for that which a ModelCheckpoint holds best.

    Raises:
        UsageError: if there is none.
    """
    if ckpt_path not in MEANINGS:
        if not Path(ckpt_path).exists():
            raise UsageError(f"--ckpt_path {ckpt_path} does not exist")
        return open_or_refuse(ckpt_path)
    if ckpt_path == "best":
        return find_best(folder)
    found = next(whole_checkpoints(folder, "**/last*.ckpt", say=True), None)
    if found is None and ckpt_path == "last":
        raise UsageError(f"--ckpt_path last: {_why_none(folder, command)}")
    return found


def find_best(folder: Path) -> CheckpointFile:
    """The checkpoint that the newest state of a ModelCheckpoint calls its best."""
    # Not the files themselves: of many, not all can be open.
    heads = [one.head for one in whole_checkpoints(folder, "**/*.ckpt")]
    best: dict[str, tuple[bool, Path]] = {}
    for head in sorted(heads, key=lambda head: int(head.get("global_step", 0))):
        for key, state in (head.get("callbacks") or {}).items():
            if not key.startswith("SaveCheckpoint") and "best_model_path" in state:
                path = _moved(Path(state["best_model_path"]), folder)
                if path is not None:
                    best[key] = state.get("monitor") is not None, path
    watched = {path for watches, path in best.values() if watches}
    paths = watched or {path for _, path in best.values()}
    if len(paths) > 1:
        listed = ", ".join(sorted(map(str, paths)))
        raise UsageError(f"--ckpt_path best: several are a callback's best: give one: {listed}")
    if not paths:
        raise UsageError(
            f"--ckpt_path best: no run in {folder} kept a best checkpoint: train with "
            "--trainer.callbacks+=ModelCheckpoint --trainer.callbacks.monitor=val/loss, or give "
            "`last` or a path"
        )
    if not watched:
        _say("best: ModelCheckpoint watches no metric (monitor); the newest of its files is taken")
    return open_or_refuse(paths.pop())


def whole_checkpoints(folder: Path, *more: str, say: bool = False) -> Iterator[CheckpointFile]:
    """The checkpoints of a run that can be read, opened, the newest first.

    ``more`` are patterns of files besides those in ``checkpoints``; ``say`` names unreadable ones.
    """
    files = {path for where in ("checkpoints/*.ckpt", *more) for path in folder.glob(where)}
    named = [path for path in files if not path.name.startswith((".", "doubtful"))]
    for path in sorted(named, key=_age, reverse=True):
        try:
            checkpoint = open_or_refuse(path)
            if "loops" in checkpoint.head:  # else weights that somebody put there
                yield checkpoint
        except UsageError as error:
            if say:
                _say(f"{path} is passed over: {error}")


def _age(path: Path) -> tuple[bool, float, float]:
    """Rises from old to new: names that say so first, then steps, then times."""
    step = re.search(r"step[_=]?(\d+)", path.name)
    changed = path.stat().st_mtime if path.exists() else 0.0  # a link may lead nowhere
    if path.name.startswith("last"):
        return True, changed, changed
    return False, float(step[1]) if step else -1.0, changed


def _why_none(folder: Path, command: str) -> str:
    if command != "fit":
        return f"there is no last.ckpt in {folder}: train first (vidiff fit), or give a path"
    if (folder / CONFIG).exists():
        return (
            f"there is no last.ckpt in {folder}: its run left no checkpoint that can be read; "
            "--ckpt_path auto begins it again"
        )
    return f"there is no last.ckpt in {folder}; leave it out to start a new run, or give a path"


def _moved(path: Path, folder: Path) -> Path | None:
    """Where a checkpoint is that was saved when the run folder may have been elsewhere."""
    if path.name and path.exists():
        return path
    return next(iter(folder.glob(f"**/{path.name}")), None) if path.name else None


def _say(text: str) -> None:
    if getattr(rank_zero_only, "rank", 0) == 0:
        print(f"vidiff: {text}", file=sys.stderr)


def open_or_refuse(path: str | Path) -> CheckpointFile:
    """Open a checkpoint; a ``UsageError`` refuses what is none, or damaged."""
    try:
        checkpoint = CheckpointFile(path)
    except Exception as error:
        raise UsageError(f"{path} is not a checkpoint: {why_unreadable(error)}") from error
    if not isinstance(checkpoint.head, dict):
        raise UsageError(f"{path} is not a checkpoint: it holds no dictionary")
    return checkpoint


def differences(asked: Mapping[str, Any], held: Mapping[str, Any]) -> list[str]:
    """``key: asked here, held there`` for each dotted key that differs between two nodes of a task.

    A ``folder`` may be elsewhere now, and what is in it be used elsewhere: it is compared by hash,
    see ``vidiff.external``.
    """
    ours, theirs = dict(_flat(asked)), dict(_flat(held))
    found = []
    for key in sorted({*ours, *theirs}):
        here, there = ours.get(key, "nothing"), theirs.get(key, "nothing")
        parent, _, name = key.rpartition(".")
        placed = name in PLACES and f"{parent}.folder" in ours
        free = key.split(".")[0] in FREE or placed
        if here != there and not free:
            found.append(f"model.{key}: {here!r} in the config, {there!r} in the checkpoint")
    return found


def _flat(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Leaves by dotted key, without the words ``init_args`` that a user never types."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            if key == "init_args" and not value:  # as where a class takes no settings
                continue
            if key == "class_path":
                # One path for a class that can be imported from several modules.
                with suppress(ImportError, AttributeError, ValueError):
                    value = get_import_path(import_object(value))
            yield from _flat(value, path if key == "init_args" else (*path, str(key)))
    else:
        yield ".".join(path), node
