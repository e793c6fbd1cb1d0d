"""Published files in, checkpoints out."""

from __future__ import annotations

from pathlib import Path

from vidiff.building import build
from vidiff.importers.base import Imported


def write_checkpoint(imported: Imported, path: Path) -> None:
    """Build the task, fill it, and write a checkpoint that ``vidiff.load`` reads.

    Raises:
        ValueError: if the weights do not fit the task.
        OSError: if the file cannot be written whole.
    """
    from lightning.pytorch import LightningModule, __version__

    from vidiff.training.diffusion import DiffusionTask

    class_path = f"{DiffusionTask.__module__}.{DiffusionTask.__qualname__}"
    task = build({"class_path": class_path, "init_args": imported.arguments}, LightningModule)
    assert isinstance(task, DiffusionTask)
    task.configure_model()
    try:
        task.load_state_dict(imported.weights)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit: {' '.join(str(error).split())[:300]}") from error
    checkpoint = {
        "state_dict": task.state_dict(),
        "hyper_parameters": dict(task.hparams),
        **task.encoders.held(),
        "clip_size": list(imported.clip_size),
        "pytorch-lightning_version": __version__,
        "epoch": 0,
        "global_step": 0,
    }
    from vidiff.training.checkpoint_files import CheckpointFiles, discard, publish, unfinished

    temporary = unfinished(path)
    try:
        CheckpointFiles().save_checkpoint(checkpoint, temporary)
        publish(temporary, path)
    finally:
        discard(temporary)
