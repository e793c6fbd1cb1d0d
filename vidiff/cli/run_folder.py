"""The run folder, ``trainer.default_root_dir``: holds one run and what it was made from."""

from __future__ import annotations

import inspect
from copy import deepcopy
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from jsonargparse._util import import_object
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from vidiff.cli.errors import UsageError
from vidiff.files import write_text
from vidiff.precision import AUTO
from vidiff.training.loggers import log_config

CONFIG = "config.yaml"


class SaveConfig(SaveConfigCallback):
    """Writes the whole config into the run folder once the first step has been trained.

    Not before, so that a run that fails at its start leaves the folder free for the next try. A
    run that goes on keeps its first config; a changed one is written beside it, numbered.
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
        if not isinstance(logger, Namespace) or not hasattr(logger.init_args, "save_dir"):
            continue
        init = inspect.signature(import_object(logger.class_path)).parameters
        if logger.init_args.save_dir == init["save_dir"].default:
            logger.init_args.save_dir = str(folder / (logger.init_args.save_dir or ""))
            folder.mkdir(parents=True, exist_ok=True)  # W&B takes no folder that is not there
    return trainer


def refuse_second_run(folder: Path, ckpt_path: str | None) -> None:
    """Keep a new run out of a folder that holds another one.

    Args:
        folder: of the run.
        ckpt_path: the checkpoint that it starts from.

    Raises:
        UsageError: unless the folder holds no run, or ``ckpt_path`` is one of its checkpoints.
    """
    holds_run = (folder / CONFIG).exists() or any(folder.glob("checkpoints/*"))
    if not holds_run or (ckpt_path and Path(ckpt_path).resolve().is_relative_to(folder.resolve())):
        return
    raise UsageError(
        f"{folder} holds another run: go on with it by --ckpt_path last, or choose another folder "
        "by --trainer.default_root_dir"
    )


def find_checkpoint(ckpt_path: str, folder: Path) -> str | None:
    """The checkpoint that ``ckpt_path`` means.

    Args:
        ckpt_path: a path; ``last`` for the newest of the folder; ``auto`` for that if there is one.
        folder: of the run.

    Returns:
        Its path; None where ``auto`` finds none, and training starts.

    Raises:
        UsageError: if there is none.
    """
    if ckpt_path not in ("last", "auto"):
        if not Path(ckpt_path).exists():
            raise UsageError(f"--ckpt_path {ckpt_path} does not exist")
        return ckpt_path
    found = sorted(folder.glob("**/last*.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found and ckpt_path == "auto":
        return None
    if not found:
        raise UsageError(
            f"--ckpt_path last: there is no last.ckpt in {folder}; leave it out to start a new "
            "run, or give a path"
        )
    return str(found[-1])
