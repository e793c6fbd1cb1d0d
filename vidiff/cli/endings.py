"""What a model command says at its end: where it wrote, and what to type next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer

from vidiff.cli.run_folder import CONFIG
from vidiff.training import DiffusionTask
from vidiff.training.callbacks import SaveCheckpoint

LAST = Path("checkpoints", "last.ckpt")


@contextmanager
def saying_how_it_ended(
    command: str, config: Namespace, trainer: Trainer, task: object
) -> Iterator[None]:
    """Around a command: the first process prints what ``ending`` or ``interruption`` says."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt):  # how Lightning ends what was told to end
        if command == "fit" and trainer.is_global_zero:
            print(*interruption(trainer), sep="\n", file=sys.stderr)
        raise
    if trainer.is_global_zero:
        for line in ending(command, config.as_dict(), trainer, task):
            print(line)


def ending(command: str, config: Mapping[str, Any], trainer: Trainer, task: object) -> list[str]:
    """Lines for a command that did what was asked."""
    if command == "fit":
        return _of_fit(Path(trainer.default_root_dir), trainer, task)
    if command == "sample":
        folder = Path(config["output"])
        return [
            f"written: {folder / 'contact_sheet.png'}",
            f"written: {folder / 'samples.jsonl'}, and the videos that it lists",
            f"next: {_typed('evaluate', '--real', 'REAL_VIDEOS', '--generated', f'mine={folder}')}",
        ]
    if command == "encode":
        cache = ("--data.dataset", "latent_cache", "--data.dataset.root", config["output"])
        return [
            f"written: {Path(config['output']) / 'index.json'}, and the shards that it lists",
            f"next: {_typed('fit', *_configs(config), *cache)}",
        ]
    return []


def interruption(trainer: Trainer) -> list[str]:
    """Lines for training that was told to end: what is saved, and how to go on."""
    folder, save = Path(trainer.default_root_dir), _saver(trainer)
    if save is None or not (folder / CONFIG).exists():
        return []
    if save.stopped_at is not None:
        said, how = f"saved at step {save.stopped_at}; go on with", "last"
    elif (folder / LAST).exists():
        step = save._last_global_step_saved
        at = f"is of step {step}" if step else "is that of the run before"
        said, how = f"stopped at once; the newest checkpoint {at}; go on with", "last"
    else:
        said, how = "stopped before the first checkpoint; begin again with", "auto"
    typed = _typed("fit", "-c", str(folder / CONFIG), "--ckpt_path", how)
    return [f"{said} --ckpt_path {how}: {typed}"]


def _of_fit(folder: Path, trainer: Trainer, task: object) -> list[str]:
    if trainer.fast_dev_run or not (folder / CONFIG).exists():  # type: ignore[attr-defined]
        return []
    lines = [f"written: {folder / CONFIG}, run.json beside it"]
    if _saver(trainer) is None or not (folder / LAST).exists():
        return lines
    lines.append(f"written: {folder / LAST} (step {trainer.global_step})")
    options = ["-c", str(folder / CONFIG), "--ckpt_path", "last"]
    if isinstance(task, DiffusionTask):
        options += ["--prompts", "TEXT;TEXT", "--output", str(folder / "prompted")]
        return [*lines, f"next: {_typed('sample', *options)}"]
    return [*lines, f"next: {_typed('test', *options)}"]


def _saver(trainer: Trainer) -> SaveCheckpoint | None:
    return next((c for c in trainer.checkpoint_callbacks if isinstance(c, SaveCheckpoint)), None)


def _configs(config: Mapping[str, Any]) -> list[str]:
    """The options ``-c`` of the command line."""
    return [word for path in config.get("config") or () for word in ("-c", str(path))]


def _typed(*words: str) -> str:
    return shlex.join(("vidiff", *words))
