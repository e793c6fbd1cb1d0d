"""Kinds and components as data: what they promise, take and contain."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vidiff.commands.lightning_parts import BASES, LightningPart, lightning_parts
from vidiff.faults import shown
from vidiff.registry import Component, Kind, list_components, list_kinds


def row(component: Component | LightningPart) -> dict[str, str]:
    """What a list shows of a component."""
    return {
        "kind": component.kind,
        "name": component.name,
        "package": component.package,
        "summary": component.summary,
    }


def describe(component: Component) -> dict[str, Any]:
    """A component's docs and arguments, as data.

    Each argument has ``name``, ``type``, ``default`` (absent where one must be given), ``doc`` and,
    where its type is a kind's factory, ``one_of``. Arguments that neighbouring parts decide are
    listed apart, as ``given``.
    """
    given = next((kind.given for kind in list_kinds() if kind.name == component.kind), ())
    arguments = _arguments(component.cls)
    return {
        **row(component),
        "class": component.class_path,
        "doc": inspect.getdoc(component.cls) or "",
        "arguments": [a for a in arguments if a["name"] not in given],
        "given": list(given),
    }


def describe_kind(kind: Kind) -> dict[str, Any]:
    """What a kind promises, as data.

    ``methods`` have to be written, ``optional`` ones can be; ``bases`` are classes that do some of
    it, for components to extend; ``given`` are the arguments that the constructor may name;
    ``example`` is the shortest source file of a component.
    """
    base = kind.base
    parts = [kind.components[name] for name in sorted(kind.components)]
    own = [name for name in vars(base) if not name.startswith("_") and name not in _abstract(base)]
    return {
        **_base(base),
        "kind": kind.name,
        "file": shown(str(sys.modules[base.__module__].__file__)),
        "optional": [name for name in own if callable(getattr(base, name))],
        "bases": [_base(cls) for cls in _between(base, parts)],
        "given": _given(kind),
        "components": [row(p) for p in lightning_parts(kind.name) or parts],
        "example": _example(parts),
    }


def _base(cls: type) -> dict[str, Any]:
    return {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "doc": inspect.getdoc(cls) or "",
        "methods": [_method(cls, name) for name in _abstract(cls)],
    }


def _abstract(cls: type) -> list[str]:
    """Names of abstract methods, in the order of their definition."""
    defined = [name for base in reversed(cls.__mro__) for name in vars(base)]
    return sorted(getattr(cls, "__abstractmethods__", ()), key=defined.index)


def _between(base: type, components: Iterable[Component]) -> list[type]:
    """Abstract classes that components extend in place of the kind's base class."""
    extended = {cls: None for one in components for cls in one.cls.__mro__ if issubclass(cls, base)}
    return [cls for cls in extended if cls is not base and _abstract(cls)]


def _method(base: type, name: str) -> dict[str, str]:
    member = inspect.getattr_static(base, name)
    function = getattr(member, "fget", None) or getattr(member, "__func__", member)
    signature = str(inspect.signature(function)).replace("(self, ", "(").replace("(self)", "()")
    signature = re.sub(r"(: |-> )'([^']+)'", r"\1\2", signature)
    return {"name": name, "signature": signature, "doc": inspect.getdoc(member) or ""}


def _given(kind: Kind) -> list[dict[str, str]]:
    """The given arguments with the types and docs of the kind's factory protocol."""
    factory = _factory(kind)
    types = inspect.signature(factory.__call__).parameters if factory else {}
    documented = _documented(kind.base) | (_documented(factory) if factory else {})
    return [
        {
            "name": name,
            "type": _type_name(types[name].annotation) if name in types else "any",
            "doc": documented.get(name, ""),
        }
        for name in kind.given
    ]


def _factory(kind: Kind) -> type | None:
    """The protocol of factories that give the kind's base class, beside it in its module."""
    found = vars(sys.modules[kind.base.__module__]).items()
    for factory in (value for name, value in found if name.startswith("Make")):
        if inspect.signature(factory.__call__).return_annotation == kind.base.__name__:
            return factory
    return None


def _example(components: Iterable[Component]) -> dict[str, Any] | None:
    sources = list(_sources(components))
    if not sources:
        return None
    lines, name, file, code = min(sources)
    return {"name": name, "file": shown(file), "lines": lines, "code": code}


def _sources(components: Iterable[Component]) -> Iterator[tuple[int, str, str, str]]:
    for component in components:
        file = getattr(sys.modules.get(component.cls.__module__), "__file__", None)
        # Lightning's own classes are no examples of how to write one here.
        if file and not (component.kind in BASES and component.package == "lightning"):
            code = Path(file).read_text(encoding="utf-8")
            yield code.count("\n"), component.name, file, code


def _arguments(cls: type) -> list[dict[str, Any]]:
    documented = _documented(cls)
    arguments = []
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        annotation = parameter.annotation
        argument: dict[str, Any] = {"name": name, "type": _type_name(annotation)}
        if parameter.default is not parameter.empty:
            argument["default"] = _default(parameter.default)
        argument["doc"] = documented.get(name, "")
        if names := _choices(str(argument["type"])):
            argument["one_of"] = names
        arguments.append(argument)
    return arguments


def _documented(cls: type) -> dict[str, str]:
    """The ``Args:`` of a class's docstring, else of the nearest base class that has them."""
    import docstring_parser

    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        parsed = docstring_parser.parse(base.__dict__.get("__doc__") or "")
        found.update({p.arg_name: " ".join((p.description or "").split()) for p in parsed.params})
    return found


def _type_name(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "any"
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(value: Any) -> str:
    """A default as a config would say it: registered classes by their names."""
    for kind in list_kinds():
        for component in kind.components.values():
            if value is component.cls:
                return component.name
    return repr(value)


def _choices(type_name: str) -> list[str]:
    """The names of the kind whose factory a type is."""
    names = {part.strip() for part in type_name.split("|")}
    for kind in list_kinds():
        factory = _factory(kind) if "Make" in type_name else None
        if factory is not None and factory.__name__ in names:
            return list_components(kind.name)
    return []
