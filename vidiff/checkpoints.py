"""Reading what training wrote, without Lightning."""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidiff.config_nodes import Node
from vidiff.external import with_folders
from vidiff.files import sha256
from vidiff.weight_files import why_unreadable

Checkpoint = dict[str, Any]


class CheckpointFile:
    """An open checkpoint: a file, or the folder of a sharded one.

    The file is opened once: what is loaded and what is hashed is the same, even if another file
    takes its name meanwhile. Tensors stay on the disk until they are used. Only tensors and plain
    values are read (``weights_only``), so an untrusted file runs no code.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._is_folder = self.path.is_dir()
        self._handle = os.open(self.path / "meta.pt" if self._is_folder else path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._handle)
        self.head: Checkpoint = self._load()
        """What it holds; of a folder, all but the tensors."""

    @cached_property
    def whole(self) -> Checkpoint:
        """All that it holds."""
        return self.head | _read_shards(self.path) if self._is_folder else self.head

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file; of the index, for a folder."""
        if self._is_folder:
            return sha256(self.path / ".metadata")
        with open(self._handle, "rb", closefd=False) as file:
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _load(self) -> Any:
        # torch maps files by name only, and none of the format that it wrote before 1.6.
        name = f"/dev/fd/{self._handle}"
        is_zip = os.pread(self._handle, 4, 0) == b"PK\x03\x04"
        return torch.load(
            name if os.path.exists(name) else self.path,
            map_location="cpu", weights_only=True, mmap=is_zip,
        )  # fmt: skip


def open_checkpoint(path: str | Path) -> CheckpointFile:
    """Open a checkpoint that a vidiff task wrote.

    Raises:
        ValueError: if there is none, or it is not one of a vidiff task.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"checkpoint {path} does not exist{_beside(path)}")
    try:
        opened = CheckpointFile(path)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(opened.head, dict) or "hyper_parameters" not in opened.head:
        raise ValueError(
            f"{path} is not a checkpoint of a vidiff task: it does not say its config; `vidiff "
            "import-weights` makes one of published weights"
        )
    return opened


def read_checkpoint(path: str | Path) -> Checkpoint:
    """What ``open_checkpoint`` opens; its tensors must be used before the file is overwritten."""
    opened = open_checkpoint(path)
    try:
        return opened.whole
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreadable(path, error) from error


def held_node(checkpoint: Checkpoint) -> Node:
    """The class and the arguments of the task, as the checkpoint holds them."""
    arguments = dict(checkpoint.get("hyper_parameters") or {})
    arguments.pop("_instantiator", None)
    return {"class_path": arguments.pop("_class_path", None), "init_args": arguments}


def task_node(checkpoint: Checkpoint) -> Node:
    """The config node of the task that wrote a checkpoint.

    A diffusion task's trained autoencoder is named by how it was first built, not by the file that
    it came from, since the checkpoint holds its weights. Parts that come from a folder are read
    from it again.

    Raises:
        ValueError: if an argument was a Python object that no config can name, a folder is not
            there any more, or an earlier vidiff wrote it.
    """
    node = held_node(checkpoint)
    arguments = node["init_args"]
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
    if node["class_path"] is None:
        raise ValueError("the checkpoint does not say which class of task it holds")
    if "autoencoder" in checkpoint:
        arguments["autoencoder"] = checkpoint["autoencoder"]
    return {**node, "init_args": with_folders(arguments, checkpoint.get("named", {}))}


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


def _read_shards(folder: Path) -> Checkpoint:
    """The tensors of a sharded checkpoint, which Lightning keeps in torch's distributed format."""
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole.ckpt"
        dcp_to_torch_save(folder, whole)
        return CheckpointFile(whole).head


def _unreadable(path: str | Path, error: Exception) -> ValueError:
    return ValueError(f"{path} cannot be read as a checkpoint: {why_unreadable(error)}")


def _beside(path: Path) -> str:
    found = sorted(str(p) for p in path.parent.glob("*.ckpt"))
    return f"; beside it are {', '.join(found)}" if found else ""
