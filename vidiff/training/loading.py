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

    Example:
        >>> from functools import partial
        >>> import vidiff
        >>> from vidiff.denoisers import DiT
        >>> from vidiff.training import DiffusionTask
        >>> from vidiff.training.trainer import VidiffTrainer
        >>> task = DiffusionTask(denoiser=partial(DiT, width=16, depth=1, num_heads=2))
        >>> task.configure_model()
        >>> trainer = VidiffTrainer(accelerator="cpu", logger=False, enable_progress_bar=False)
        >>> trainer.strategy.connect(task)  # in place of a training
        >>> task.trainer = trainer
        >>> trainer.save_checkpoint("tiny.ckpt")
        >>> loaded = vidiff.load("tiny.ckpt")
        >>> size = {"num_frames": 3, "height": 16, "width": 16, "num_steps": 2}
        >>> loaded.sample(["a red square moves left"], seed=1, **size).shape
        torch.Size([1, 3, 3, 16, 16])
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
