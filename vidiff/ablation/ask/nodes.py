"""Nodes of a config, by the dotted keys that the command line has for them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Config = dict[str, Any]
"""A config as YAML gives it."""


def replace(config: Config, nodes: Mapping[str, Any]) -> Config:
    """A copy of a config in which whole nodes are replaced, so that nothing of the old ones stays.

    A node inside another is replaced inside the new one. A ``ValueError`` if a key has no place.
    """
    config = copy.deepcopy(config)
    for key, node in sorted(nodes.items(), key=lambda item: item[0].count(".")):
        parent, name = _parent(config, key)
        parent[name] = copy.deepcopy(node)
    return config


def get(config: Config, key: str, default: Any = None) -> Any:
    """The node at a dotted key, or ``default`` if there is none."""
    node: Any = config
    for name in key.split("."):
        if isinstance(node, Mapping) and "class_path" in node:
            node = node.get("init_args") or {}
        if not isinstance(node, Mapping) or name not in node:
            return default
        node = node[name]
    return node


def devices_of(config: Config) -> tuple[int, int, bool]:
    """Devices of a node, nodes, and whether the devices are GPUs, as the trainer has them.

    Where the config leaves the number to the machine, it is one.
    """
    devices = get(config, "trainer.devices", "auto")
    if isinstance(devices, str) and devices.isdigit():
        devices = int(devices)
    count = len(devices) if isinstance(devices, list) else devices
    accelerator = get(config, "trainer.accelerator", "auto")
    has_gpu = any(Path("/dev").glob("nvidia[0-9]*"))  # without importing torch
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and has_gpu)
    number = count if isinstance(count, int) and count > 0 else 1
    return number, int(get(config, "trainer.num_nodes", 1) or 1), on_gpu


def _parent(config: Config, key: str) -> tuple[dict[str, Any], str]:
    """The mapping that holds, or is to hold, the node at a key."""
    *path, last = key.split(".")
    node: Any = config
    holder, place = config, ""
    for depth, name in enumerate(path):
        node = _opened(holder, place, node)
        if name not in node and depth:
            where = ".".join(path[: depth + 1])
            raise ValueError(
                f"there is no {where} in the base config to set {key} in: write that node into "
                "the base config, or replace the whole of it"
            )
        holder, place, node = node, name, node.setdefault(name, {})
    return _opened(holder, place, node), last


def _opened(holder: dict[str, Any], place: str, node: Any) -> dict[str, Any]:
    """The settings of a node; a bare name, and a class without settings, get room for some."""
    if isinstance(node, str):
        node = holder[place] = {"class_path": node, "init_args": {}}
    if not isinstance(node, dict):
        raise ValueError(f"{place} of the base config is {node!r}, which has no settings to change")
    if "class_path" in node:
        node = node.setdefault("init_args", {})
    return node
