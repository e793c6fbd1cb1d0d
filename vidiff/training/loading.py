"""From a checkpoint to a task that is ready to sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import LightningModule

from vidiff.checkpoints import read_checkpoint, task_node
from vidiff.config_nodes import build
from vidiff.plugins import load_all
from vidiff.training.task import Task


def load(path: str | Path, plugins: Sequence[str] = ()) -> Task:
    """Rebuild the task of a checkpoint, with its weights, in evaluation mode, on the CPU.

    A ``DiffusionTask`` makes videos by ``task.sample(prompts, seed=0)``.

    Args:
        path: a checkpoint file, or the folder of a sharded one.
        plugins: files or modules that hold classes which the task needs.

    Raises:
        ValueError: if there is no such checkpoint, it is not one of a vidiff task, or a class that
            it names cannot be found.
    """
    load_all(plugins)
    checkpoint = read_checkpoint(path)
    task = build(task_node(checkpoint), LightningModule)
    if not isinstance(task, Task):
        raise ValueError(f"{path} holds a {type(task).__name__}, which is not a vidiff task")
    task.configure_model()
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise ValueError(f"the weights in {path} do not fit its task: {error}") from error
    task.on_load_checkpoint(checkpoint)
    return task.eval()
