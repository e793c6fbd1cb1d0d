"""Hashes that tell whether weights or files are still the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from vidiff.config_nodes import Node

_END = 64 * 1024  # bytes of a file's head and tail that are read


def weights_hash(module: nn.Module, node: Node, rounded: torch.dtype | None = None) -> str:
    """The SHA-256 of a component: how it is built, whatever its folder, and its tensors' values.

    Floating-point tensors are ``rounded`` to this type first.
    """
    arguments = {k: v for k, v in (node.get("init_args") or {}).items() if k != "folder"}
    node = {**node, "init_args": arguments}
    digest = hashlib.sha256(json.dumps(node, sort_keys=True, default=repr).encode())
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, Tensor):
            if rounded is not None and value.is_floating_point():
                value = value.to(rounded)
            digest.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
            value = value.detach().cpu().contiguous().flatten()  # one at a time
            digest.update(value.view(torch.uint8).numpy().data)
        else:  # what a module keeps beside tensors
            digest.update(f"\n{name} {value!r}\n".encode())
    return digest.hexdigest()


def file_hash(path: str | Path) -> str:
    """The SHA-256 of a file's size, its first 64 KiB and its last."""
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        digest = hashlib.sha256(str(size).encode())
        for begin in (0, max(_END, size - _END)):
            file.seek(begin)
            digest.update(file.read(_END))
    return digest.hexdigest()
