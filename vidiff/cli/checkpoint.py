"""Does the config ask for the model that a checkpoint holds?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonargparse._util import get_import_path, import_object

from vidiff.checkpoints import CheckpointFile
from vidiff.errors import UsageError
from vidiff.weight_files import why_unreadable

FREE = ("sampler", "guidance", "metrics")
"""Arguments of a task that no weight depends on: the config's are used."""


def open_or_refuse(path: str | Path) -> CheckpointFile:
    """Open a checkpoint.

    Raises:
        UsageError: if the file is no checkpoint, or damaged.
    """
    try:
        checkpoint = CheckpointFile(path)
    except Exception as error:
        raise UsageError(f"{path} is not a checkpoint: {why_unreadable(error)}") from error
    if not isinstance(checkpoint.head, dict):
        raise UsageError(f"{path} is not a checkpoint: it holds no dictionary")
    return checkpoint


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
