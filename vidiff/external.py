"""Frozen parts that come from a folder: a checkpoint names them by hash and holds no weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from vidiff.config_nodes import describe
from vidiff.fingerprints import weights_hash

Named = dict[str, dict[str, str]]
"""By part (``autoencoder``, ``conditions.text``): its ``folder``, absolute, and its ``hash``."""


def folder_of(node: Any) -> str:
    """The argument ``folder`` of a node; empty if it has none."""
    arguments = node.get("init_args") if isinstance(node, Mapping) else None
    return str((arguments or {}).get("folder") or "")


def leave_out(part: nn.Module, factory: Callable[..., Any]) -> None:
    """Keep a part out of the state of the model that it belongs to, if a folder holds it."""
    try:
        node = describe(factory)
    except TypeError:  # built in Python in a way that no checkpoint can name
        return
    if part.frozen and folder_of(node):
        part.register_state_dict_post_hook(_forget)
        part.register_load_state_dict_pre_hook(_keep)


def named(autoencoder: nn.Module, conditions: nn.ModuleDict, nodes: Mapping[str, Any]) -> Named:
    """The parts that a checkpoint does not hold; ``nodes`` say how the two are built."""
    parts = {"autoencoder": (autoencoder, nodes["autoencoder"])}
    for name, part in conditions.items():
        parts[f"conditions.{name}"] = part, nodes["conditions"].get(name)
    return {
        name: {
            "folder": os.path.abspath(os.path.expanduser(folder)),
            # Rounded, so that a run in bf16-true has the same hash.
            "hash": weights_hash(part, getattr(part, "node", None) or node, torch.bfloat16),
        }
        for name, (part, node) in parts.items()
        if (folder := folder_of(node)) and part.frozen
    }


def check_named(held: Named, found: Named) -> None:
    """Raise a ``ValueError`` if a part that a checkpoint names was not built or differs."""
    for name, was in held.items():
        now = found.get(name)
        if now is None:
            raise ValueError(
                f"the checkpoint does not hold its {name}, which was read from {was['folder']}: "
                "build the task with that folder"
            )
        if now["hash"] != was["hash"]:
            raise ValueError(
                f"{name}: {now['folder']} has other weights or settings than at training (hash "
                f"{now['hash'][:12]}, then {was['hash'][:12]}, read from {was['folder']}): give "
                "the folder that the model was trained with"
            )


def with_folders(arguments: Mapping[str, Any], held: Named) -> dict[str, Any]:
    """Arguments of a task, with the folders of a checkpoint, which must be there, as its paths."""
    found = dict(arguments)
    for name, was in held.items():
        if not os.path.isdir(was["folder"]):
            raise ValueError(
                f"the checkpoint does not hold its {name}, which was read from {was['folder']}, "
                "and that is not there any more: put it back, or a link to it"
            )
        kind, _, key = name.partition(".")
        node = found[kind][key] if key else found[kind]
        node = {**node, "init_args": {**node["init_args"], "folder": was["folder"]}}
        found[kind] = {**found[kind], key: node} if key else node
    return found


def _forget(part: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for key in [key for key in state if prefix and key.startswith(prefix)]:
        del state[key]


def _keep(part: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Let a state without the part be loaded: it stays as it is."""
    if prefix and not any(key.startswith(prefix) for key in state):
        state.update({f"{prefix}{name}": value for name, value in part.state_dict().items()})
