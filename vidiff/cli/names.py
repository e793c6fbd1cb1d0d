"""Registered names wherever jsonargparse asks for a class.

jsonargparse resolves the bare name of a class by one private function; ``install`` puts a wrapper
around it that looks a name up in the kind that the type hint asks for. ``tests/cli/test_names.py``
guards it, and pyproject.toml pins the major version.
"""

from __future__ import annotations

import inspect
from typing import Any

from jsonargparse import Namespace, _typehints
from jsonargparse._util import get_import_path, import_object

from vidiff.plugins import left_out
from vidiff.registry import Kind, list_components, list_kinds, nearest
from vidiff.yaml_files import teach_jsonargparse

_resolve_class = _typehints.resolve_class_path_by_name


def install() -> None:
    """Teach jsonargparse the registered names and strict YAML; calling it twice does nothing."""
    teach_jsonargparse()
    _typehints.resolve_class_path_by_name = resolve
    _typehints.discard_init_args_on_class_path_change = forget_init_args


def resolve(cls: type | tuple[type, ...], name: str) -> str:
    """The dotted path of the class that ``name`` means where a subclass of ``cls`` is asked for.

    Raises:
        ValueError: if the name is not known, with the nearest and all known ones.
    """
    if "." in name:
        return name
    if isinstance(cls, tuple):
        return next((p for c in cls if "." in (p := _resolve_class(c, name))), name)
    kind = kind_of(cls)
    if kind is not None and name in kind.components:
        return str(get_import_path(kind.components[name].cls))
    path = _resolve_class(cls, name)
    if "." not in path and inspect.isclass(cls):
        raise ValueError(_unknown(kind, cls, name))
    return path


def kind_of(cls: Any) -> Kind | None:
    """The kind that a type hint asks for, if its base class is one's."""
    return next((kind for kind in list_kinds() if kind.base is cls), None)


def forget_init_args(parser: Any, previous: Any, value: Any) -> None:
    """Drop all settings of a class when another takes its place.

    jsonargparse keeps those whose names both classes know, so ``depth: 7`` meant for one class
    would silently reach the other, from an earlier ``-c`` file or from the config to the command
    line.
    """
    if not previous or "init_args" not in previous:
        return
    if not _same_class(previous["class_path"], value["class_path"]):
        previous["init_args"] = Namespace()


def _same_class(one: str, other: str) -> bool:
    return one == other or import_object(one) is import_object(other)


def _unknown(kind: Kind | None, cls: type, name: str) -> str:
    if kind is not None:
        what, known = kind.name, list_components(kind.name)
    else:
        paths = _typehints.get_all_subclass_paths(cls)
        what, known = cls.__name__, sorted({path.rpartition(".")[2] for path in paths})
    listed = ", ".join(known) or "none"
    return f"unknown {what} {name!r}{nearest(name, known)}; known: {listed}{left_out()}"
