"""Does the config ask for the model that a checkpoint holds?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jsonargparse._util import get_import_path, import_object

from vidiff.checkpoints import trained_in
from vidiff.errors import UsageError
from vidiff.weight_files import why_unreadable

FREE = ("sampler", "guidance", "metrics")
"""Arguments of a task that no weight depends on: the config's are used."""


def read_head(path: str | Path) -> dict[str, Any]:
    """What a checkpoint holds; its tensors stay on the disk until they are used.

    Raises:
        UsageError: if the file is no checkpoint, or damaged.
    """
    path = Path(path)
    file = path / "meta.pt" if path.is_dir() else path  # a sharded checkpoint is a folder
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True, mmap=not path.is_dir())
    except Exception as error:
        raise UsageError(f"{path} is not a checkpoint: {why_unreadable(error)}") from error
    if not isinstance(stored, dict):
        raise UsageError(f"{path} is not a checkpoint: it holds no dictionary")
    return stored


def read_hyperparameters(ckpt_path: str) -> dict[str, Any]:
    """The task's class and arguments as the checkpoint holds them, as a config node.

    Raises:
        UsageError: if the file is no checkpoint.
    """
    arguments = dict(read_head(ckpt_path).get("hyper_parameters") or {})
    arguments.pop("_instantiator", None)
    return {"class_path": arguments.pop("_class_path", None), "init_args": arguments}


def read_precision(ckpt_path: str) -> str | None:
    """The precision of the run that wrote a checkpoint; None if it does not say."""
    return trained_in(read_head(ckpt_path))


def differences(asked: Mapping[str, Any], held: Mapping[str, Any]) -> list[str]:
    """``key: asked here, held there`` for each dotted key that differs.

    A ``folder`` may be elsewhere now: what is in it is compared by hash, see ``vidiff.external``.

    Args:
        asked: the node of ``model`` in the config.
        held: that of the checkpoint.
    """
    ours, theirs = dict(_flat(asked)), dict(_flat(held))
    keys = [
        key
        for key in sorted({*ours, *theirs})
        if ours.get(key, "nothing") != theirs.get(key, "nothing")
        and key.split(".")[0] not in FREE
        and not key.endswith(".folder")
    ]
    return [
        f"model.{key}: {ours.get(key, 'nothing')!r} in the config, "
        f"{theirs.get(key, 'nothing')!r} in the checkpoint"
        for key in keys
    ]


def _flat(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Leaves by dotted key, without the words ``init_args`` that a user never types."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            if key == "init_args" and not value:  # as where a class takes no settings
                continue
            if key == "class_path":
                value = canonical(value)
            yield from _flat(value, path if key == "init_args" else (*path, str(key)))
    else:
        yield ".".join(path), node


def canonical(class_path: Any) -> Any:
    """The one path of a class that can be imported from several modules."""
    try:
        return get_import_path(import_object(class_path))
    except (ImportError, AttributeError, ValueError):
        return class_path
