"""Published files in, checkpoints out."""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vidiff.building import build
from vidiff.importers.base import Imported, Weights

PREFIXES = ("param.", "module.", "model.", "_orig_mod.")
"""What training code and files put before the names of all weights."""


def read_weights(path: Path) -> Weights:
    """The tensors of a state dict: of a safetensors file, or of one that torch saved.

    A moving average is preferred where the file holds one (``ema``, as DiT, SiT and Latte save it).
    Only tensors and plain values are read (``weights_only``), so an untrusted file runs no code.

    Raises:
        ValueError: if the file does not exist or holds no tensors.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    try:
        found: Any
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:  # argparse.Namespace holds plain values: training code saves its options as one
            with torch.serialization.safe_globals([argparse.Namespace]):
                found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} cannot be read as weights: {reason}") from error
    for name in ("ema", "model", "state_dict"):
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
            break
    tensors = {k: v for k, v in found.items() if isinstance(v, Tensor)} if found else {}
    if not tensors:
        raise ValueError(f"{path} holds no state dict of tensors")
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in tensors):
            tensors = {
                k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
            }
    return tensors


def write_checkpoint(imported: Imported, path: Path) -> None:
    """Build the task, fill it, and write a checkpoint that ``vidiff.load`` reads.

    Raises:
        ValueError: if the weights do not fit the task.
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
        "autoencoder": task.autoencoder_node,
        "clip_size": list(imported.clip_size),
        "pytorch-lightning_version": __version__,
        "epoch": 0,
        "global_step": 0,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(checkpoint, unfinished)
    unfinished.replace(path)
