"""Importer interface, and how an imported model becomes a checkpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidiff.autoencoders import Pretrained
from vidiff.config_nodes import Node, build
from vidiff.registry import class_path
from vidiff.types import Size
from vidiff.weight_files import Weights


@dataclass
class Imported:
    """A published model in vidiff's terms."""

    arguments: Node  # of the ``DiffusionTask``, as config nodes
    weights: Weights  # the task's state, by vidiff's names
    clip_size: Size  # of what its autoencoder encoded for training; of latents where it has none


class Importer(ABC):
    """Knows the names and the layout of one code base's weights."""

    @abstractmethod
    def read(self, weights: Weights, num_heads: int | None) -> Imported:
        """Translate a published state dict.

        Attention heads are told by no tensor; None is those of the published models of this width.
        A ``ValueError`` if a tensor is missing, left over or has another shape, or there are none.
        """


def node(class_path: str, **arguments: Any) -> Node:
    """A config node."""
    return {"class_path": class_path, "init_args": arguments}


def with_autoencoder(imported: Imported, folder: str) -> Imported:
    """Give an imported model of latents a published autoencoder, so that it makes videos.

    A ``ValueError`` if its latents have other channels than the model's, or as ``Pretrained``.
    """
    autoencoder = Pretrained(folder=folder)
    channels = imported.arguments["autoencoder"]["init_args"]["latent_channels"]
    if autoencoder.latent_channels != channels:
        raise ValueError(
            f"the autoencoder in {folder} has latents of {autoencoder.latent_channels} channels, "
            f"and the model was trained on {channels}: give the autoencoder that it was trained "
            "with (--autoencoder)"
        )
    frames, height, width = imported.clip_size
    ct, ch, cw = autoencoder.compression
    part = {"autoencoder": node("vidiff.autoencoders.Pretrained", folder=folder)}
    size = (1 + (frames - 1) * ct, height * ch, width * cw)
    return replace(imported, arguments=imported.arguments | part, clip_size=size)


def write_checkpoint(imported: Imported, path: Path) -> None:
    """Write a checkpoint that ``vidiff.load`` reads; a ``ValueError`` if the weights do not fit."""
    from lightning.pytorch import LightningModule, __version__

    from vidiff.training.checkpoint_files import CheckpointFiles, discard, publish, unfinished
    from vidiff.training.diffusion.task import DiffusionTask

    task = build(node(class_path(DiffusionTask), **imported.arguments), LightningModule)
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
    temporary = unfinished(path)
    try:
        CheckpointFiles().save_checkpoint(checkpoint, temporary)
        publish(temporary, path)
    finally:
        discard(temporary)
