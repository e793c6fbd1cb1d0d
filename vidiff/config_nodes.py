"""Components to config nodes and back: what lets a checkpoint say how it was built.

A node is what a config file holds: ``{"class_path": ..., "init_args": {...}}``, of plain values.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from vidiff.registry import class_path, list_kinds

Node = dict[str, Any]
T = TypeVar("T")


def describe(value: Any) -> Any:
    """Turn a factory into the node that rebuilds it, with all defaults written out.

    Arguments that neighbouring parts decide (``Kind.given``) are no part of it. A factory is a
    class, ``functools.partial`` of one, or a list or dict of such; plain values stay as they are. A
    ``TypeError`` if ``value`` is none of these, as a lambda or a built object is not.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [describe(item) for item in value]
    if (cls := _class_of(value)) is not None:
        return _node(cls, value.keywords if isinstance(value, functools.partial) else {})
    raise TypeError(
        f"{value!r} cannot be described as a config node: hand in a class, or functools.partial "
        "of a class with plain values"
    )


def arguments_of(cls: type) -> dict[str, inspect.Parameter]:
    """The arguments that a constructor names."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(cls).parameters.items()
    return {name: p for name, p in parameters if p.kind not in variadic}


def documented(target: Any) -> dict[str, str]:
    """The lines under ``Args:`` by argument, of a function or a class and its base classes."""
    import docstring_parser

    found: dict[str, str] = {}
    for owner in reversed(getattr(target, "__mro__", [target])):
        parsed = docstring_parser.parse(owner.__doc__ or "")
        found.update({p.arg_name: " ".join((p.description or "").split()) for p in parsed.params})
    return found


def made(factory: Callable[..., T], **given: Any) -> T:
    """Call a factory with those of the given arguments that its class's constructor names."""
    named = _named(_class_of(factory) or factory)
    return factory(**{k: v for k, v in given.items() if named is None or k in named})


def _named(target: Callable[..., Any]) -> set[str] | None:
    """Names of a constructor's arguments, and of those that it hands on; None if it takes any."""
    if not isinstance(target, type):
        parameters = inspect.signature(target).parameters.values()
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        return None if takes_any else {p.name for p in parameters}
    found: set[str] = set()
    for cls in target.__mro__:
        if "__init__" in cls.__dict__:
            parameters = inspect.signature(cls.__dict__["__init__"]).parameters.values()
            found |= {p.name for p in parameters}
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return found


def build(node: Node, base: type[T]) -> T:
    """Build what a node describes, checked as on the command line; a ``ValueError`` refuses it."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "part")
    return _instantiated(parser, node, node.get("class_path", node))


def build_class(cls: type[T], arguments: Node) -> T:
    """Build a class from its arguments as a config names them; a ``ValueError`` as ``build``."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "part")
    return _instantiated(parser, arguments, cls.__name__)


def _instantiated(parser: Any, node: Node, name: Any) -> Any:
    try:
        return parser.instantiate(parser.parse_object({"part": node})).part
    except Exception as error:
        raise ValueError(
            f"cannot rebuild {name}: {error}\nIf it comes from a plugin, install that plugin or "
            "name its file (plugins=...)"
        ) from error


def _class_of(factory: Any) -> type | None:
    parts = [factory]
    if isinstance(factory, functools.partial):
        # jsonargparse puts its instantiator first: the class is the last positional argument.
        parts = [factory.func, *factory.args]
    return next((part for part in reversed(parts) if isinstance(part, type)), None)


def _node(cls: type, given: Mapping[str, Any]) -> Node:
    decided = {name for k in list_kinds() if issubclass(cls, k.base) for name in k.given}
    defaults = {
        name: parameter.default
        for name, parameter in arguments_of(cls).items()
        if parameter.default is not parameter.empty and name not in decided
    }
    return {
        "class_path": class_path(cls),
        "init_args": {name: describe(value) for name, value in (defaults | dict(given)).items()},
    }
