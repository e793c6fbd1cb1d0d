"""Reading what training wrote, without Lightning."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidiff.building import Node
from vidiff.external import with_folders
from vidiff.weight_files import why_unreadable

Checkpoint = dict[str, Any]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint that a vidiff task wrote: a file, or the folder of a sharded one.

    Only tensors and plain values are read (``weights_only``), so an untrusted file runs no code.

    Raises:
        ValueError: if there is none, or it is not one of a vidiff task.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"checkpoint {path} does not exist{_beside(path)}")
    try:
        checkpoint = _read_folder(path) if path.is_dir() else _read_file(path)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} cannot be read as a checkpoint: {why_unreadable(error)}"
        ) from error
    if not isinstance(checkpoint, dict) or "hyper_parameters" not in checkpoint:
        raise ValueError(
            f"{path} is not a checkpoint of a vidiff task: it does not say its config; `vidiff "
            "import-weights` makes one of published weights"
        )
    return checkpoint


def task_node(checkpoint: Checkpoint) -> Node:
    """The config node of the task that wrote a checkpoint.

    A diffusion task's trained autoencoder is named by how it was first built, not by the file that
    it came from, since the checkpoint holds its weights. Parts that come from a folder are read
    from it again.

    Raises:
        ValueError: if an argument was a Python object that no config can name, a folder is not
            there any more, or an earlier vidiff wrote it.
    """
    arguments = dict(checkpoint["hyper_parameters"])
    class_path = arguments.pop("_class_path", None)
    arguments.pop("_instantiator", None)
    for name, value in arguments.items():
        if isinstance(value, dict) and "described" in value:
            raise ValueError(
                f"this task was built in Python with {name}={value['described']}, which no config "
                "can name: build it again that way and call load_state_dict"
            )
    if "text_encoder" in arguments:
        raise ValueError(
            "this checkpoint is of an earlier vidiff, whose text_encoder is now conditions.text: "
            "train again with `conditions: {text: …}`, or use the vidiff that wrote it"
        )
    if class_path is None:
        raise ValueError("the checkpoint does not say which class of task it holds")
    if "autoencoder" in checkpoint:
        arguments["autoencoder"] = checkpoint["autoencoder"]
    arguments = with_folders(arguments, checkpoint.get("named", {}))
    return {"class_path": class_path, "init_args": arguments}


def trained_in(checkpoint: Mapping[str, Any]) -> str | None:
    """The precision that a run had when it wrote a checkpoint; None if the file does not say."""
    held = (checkpoint.get("callbacks") or {}).get("KeepPrecision") or {}
    return held.get("precision") or None


def part_weights(checkpoint: Checkpoint, part: str) -> dict[str, Tensor]:
    """The weights of one part of a task: averaged ones where they were kept."""
    state = checkpoint["state_dict"]
    for prefix in (f"ema.{part}.", f"{part}."):
        found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        if found:
            return found
    return {}


def _read_file(path: Path) -> Checkpoint:
    return torch.load(path, map_location="cpu", weights_only=True)


def _read_folder(path: Path) -> Checkpoint:
    """Lightning keeps tensors in torch's distributed format, and the rest in ``meta.pt``."""
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.ckpt"
        dcp_to_torch_save(path, whole)
        return _read_file(path / "meta.pt") | _read_file(whole)


def _beside(path: Path) -> str:
    found = sorted(str(p) for p in path.parent.glob("*.ckpt"))
    return f"; beside it are {', '.join(found)}" if found else ""
