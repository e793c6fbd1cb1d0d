"""``vidiff components``: what can be put into a config, and what each part takes."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from argparse import ArgumentParser, Namespace
from typing import Any

from vidiff.commands.base import LightCommand
from vidiff.plugins import failed_plugins, left_out
from vidiff.registry import (
    Component,
    get_component,
    get_kind,
    list_components,
    list_kinds,
    nearest,
    register,
)


@register("components")
class Components(LightCommand):
    """List the registered components, or show one: its arguments, types, defaults and docs."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "words",
            nargs="*",
            metavar="KIND | show NAME",
            help="one kind to list (all, by default); or `show dit`, or `show denoiser.dit` where "
            "several kinds have the name",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, args: Namespace) -> int:
        match args.words:
            case ["show", name]:
                shown = describe(find_component(name))
                print(json.dumps(shown, indent=2) if args.json else _page(shown))
            case [] | [_]:
                kinds = [get_kind(name) for name in args.words] or list_kinds()
                listed = [kind.components[n] for kind in kinds for n in list_components(kind.name)]
                print(
                    json.dumps([_row(c) for c in listed], indent=2) if args.json else _table(listed)
                )
                for failure in failed_plugins():
                    print(f"\nplugin left out: {failure}")
            case _:
                raise ValueError("use: vidiff components [KIND], or vidiff components show NAME")
        return 0


def find_component(name: str) -> Component:
    """The component called ``name`` or ``kind.name``.

    Raises:
        ValueError: if there is none, with the nearest, or if several kinds have the name.
    """
    if "." in name:
        kind_name, _, short = name.partition(".")
        return get_component(kind_name, short)
    found = [kind.components[name] for kind in list_kinds() if name in kind.components]
    if len(found) > 1:
        full = ", ".join(f"{c.kind}.{c.name}" for c in found)
        raise ValueError(f"several kinds have a component {name!r}; say which: {full}")
    if not found:
        known = [n for kind in list_kinds() for n in kind.components]
        raise ValueError(
            f"unknown component {name!r}{nearest(name, known)}; `vidiff components` lists all"
            f"{left_out()}"
        )
    return found[0]


def describe(component: Component) -> dict[str, Any]:
    """A component's docs and arguments, as data.

    Each argument has ``name``, ``type``, ``default`` (absent where one must be given), ``doc`` and,
    where its type is a kind's factory, ``one_of``. Arguments that neighbouring parts decide are
    listed apart, as ``given``.
    """
    given = get_kind(component.kind).given
    arguments = _arguments(component.cls)
    return {
        **_row(component),
        "class": component.class_path,
        "doc": inspect.getdoc(component.cls) or "",
        "arguments": [a for a in arguments if a["name"] not in given],
        "given": list(given),
    }


def _row(component: Component) -> dict[str, str]:
    return {
        "kind": component.kind,
        "name": component.name,
        "package": component.package,
        "summary": component.summary,
    }


def _table(components: list[Component]) -> str:
    columns = [
        max((len(getattr(c, column)) for c in components), default=0)
        for column in ("kind", "name", "package")
    ]
    lines = [
        f"{c.kind:<{columns[0]}}  {c.name:<{columns[1]}}  {c.package:<{columns[2]}}  {c.summary}"
        for c in components
    ]
    return "\n".join(lines)


def _page(shown: dict[str, Any]) -> str:
    lines = [f"{shown['kind']} {shown['name']}: {shown['class']} ({shown['package']})", ""]
    prose = re.sub(r"\n\n?Args:\n(?:(?: .*)?\n)*(?! )", "\n\n", shown["doc"] + "\n")
    lines += [textwrap.indent(prose.strip(), "  ")]
    if shown["arguments"]:
        lines += ["", "Arguments:"]
    for argument in shown["arguments"]:
        default = f" = {argument['default']}" if "default" in argument else " (required)"
        lines.append(f"  {argument['name']}: {argument['type']}{default}")
        notes = [argument["doc"]]
        notes += [f"one of: {', '.join(argument['one_of'])}"] if "one_of" in argument else []
        lines += [
            textwrap.fill(note, 96, initial_indent="      ", subsequent_indent="      ")
            for note in notes
            if note
        ]
    if shown["given"]:
        lines += ["", f"Decided by neighbouring parts: {', '.join(shown['given'])}"]
    return "\n".join(lines)


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
    """The names of the kind whose factory a type is, by convention ``Make`` and its base class."""
    names = {part.strip() for part in type_name.split("|")}
    for kind in list_kinds():
        if f"Make{kind.base.__name__}" in names:
            return list_components(kind.name)
    return []
