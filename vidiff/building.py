"""Components to config nodes and back: what lets a checkpoint say how it was built.

A node is what a config file holds: ``{"class_path": ..., "init_args": {...}}``, of plain values.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Node = dict[str, Any]
T = TypeVar("T")


def describe(value: Any) -> Any:
    """Turn a factory into the node that rebuilds it, with all defaults written out.

    Classes, ``functools.partial`` of them, and lists and dicts of such are described; plain values
    stay as they are.

    Raises:
        TypeError: if ``value`` is none of these, as a lambda or a built object is not.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [describe(item) for item in value]
    if isinstance(value, type):
        return _node(value, {})
    if isinstance(value, functools.partial):
        # jsonargparse puts its instantiator first: the class is the last positional argument.
        classes = [c for c in (value.func, *value.args) if isinstance(c, type)]
        if classes:
            return _node(classes[-1], value.keywords)
    raise TypeError(
        f"{value!r} cannot be described as a config node: hand in a class, or functools.partial "
        "of a class with plain values"
    )


def build(node: Node, base: type[T]) -> T:
    """Build what ``node`` describes, checking every name and type as the command line does.

    Raises:
        ValueError: if the class cannot be imported or does not accept the node's arguments.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "part")
    try:
        return parser.instantiate(parser.parse_object({"part": node})).part
    except Exception as error:
        raise ValueError(
            f"cannot rebuild {node.get('class_path', node)}: {error}\nIf it comes from a plugin, "
            "install that plugin or name its file (plugins=...)"
        ) from error


def _node(cls: type, given: Mapping[str, Any]) -> Node:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is not parameter.empty
    }
    return {
        "class_path": f"{cls.__module__}.{cls.__qualname__}",
        "init_args": {name: describe(value) for name, value in (defaults | dict(given)).items()},
    }
