"""Kinds and components as data and as pages: what they promise, take and contain."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vidiff.commands.lightning_parts import BASES, LightningPart, lightning_parts
from vidiff.config_nodes import arguments_of, documented
from vidiff.faults import shown
from vidiff.registry import Component, Kind, all_components, class_path, list_kinds


def row(component: Component | LightningPart) -> dict[str, str]:
    """What a list shows of a component."""
    return {name: getattr(component, name) for name in ("kind", "name", "package", "summary")}


def describe(component: Component) -> dict[str, Any]:
    """A component's docs and arguments, as data; those that neighbours decide are ``given``.

    An argument that must be given has no ``default``; one of a kind's factory has ``one_of``.
    """
    given = next((kind.given for kind in list_kinds() if kind.name == component.kind), ())
    return {
        **row(component),
        "class": component.class_path,
        "doc": inspect.getdoc(component.cls) or "",
        "arguments": [a for a in _arguments(component.cls) if a["name"] not in given],
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
        "class": class_path(cls),
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
    docs = documented(kind.base) | (documented(factory) if factory else {})
    typed = {name: _type_name(types[name].annotation) for name in kind.given if name in types}
    return [
        {"name": name, "type": typed.get(name, "any"), "doc": docs.get(name, "")}
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
    # Lightning's own classes are no examples of how to write one here.
    examples = []
    for name, file in ((c.name, c.file) for c in components if c.package != "lightning"):
        if file:
            code = Path(file).read_text(encoding="utf-8")
            examples.append((code.count("\n"), name, shown(file), code))
    if not examples:
        return None
    lines, name, shown_file, code = min(examples)
    return {"name": name, "file": shown_file, "lines": lines, "code": code}


def _arguments(cls: type) -> list[dict[str, Any]]:
    docs, described = documented(cls), []
    for name, parameter in arguments_of(cls).items():
        argument: dict[str, Any] = {"name": name, "type": _type_name(parameter.annotation)}
        if (value := parameter.default) is not parameter.empty:  # a class by its component's name
            names = (c.name for c in all_components() if c.cls is value)
            argument["default"] = next(names, repr(value))
        argument["doc"] = docs.get(name, "")
        if choices := _choices(argument["type"]):
            argument["one_of"] = choices
        described.append(argument)
    return described


def _type_name(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "any"
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _choices(type_name: str) -> list[str]:
    """The names of the kind whose factory a type is."""
    names = {part.strip() for part in type_name.split("|")}
    for kind in list_kinds() if "Make" in type_name else ():
        factory = _factory(kind)
        if factory is not None and factory.__name__ in names:
            return sorted(kind.components)
    return []


def component_page(shown: dict[str, Any]) -> str:
    """``describe`` as text."""
    lines = [f"{shown['kind']} {shown['name']}: {shown['class']} ({shown['package']})", ""]
    prose = re.sub(r"\n\n?Args:\n(?:(?: .*)?\n)*(?! )", "\n\n", shown["doc"] + "\n")
    lines += [textwrap.indent(prose.strip(), "  ")]
    if shown["arguments"]:
        lines += ["", "Arguments:"]
    for argument in shown["arguments"]:
        default = f" = {argument['default']}" if "default" in argument else " (required)"
        lines.append(f"  {argument['name']}: {argument['type']}{default}")
        names = ", ".join(argument.get("one_of", ()))
        for note in filter(None, (argument["doc"], names and f"one of: {names}")):
            indent = " " * 6
            lines += textwrap.wrap(note, 96, initial_indent=indent, subsequent_indent=indent)
    if shown["given"]:
        lines += ["", f"Decided by neighbouring parts: {', '.join(shown['given'])}"]
    return "\n".join(lines)


def kind_page(shown: dict[str, Any]) -> str:
    """``describe_kind`` as text."""
    lines = [f"kind {shown['kind']}: {shown['class']} ({shown['file']})", ""]
    lines += [textwrap.indent(shown["doc"], "  ")]
    lines += _methods(shown, "To write:")
    for base in shown["bases"]:
        summary = base["doc"].partition("\n")[0]
        lines += _methods(base, f"Or extend {base['class']} ({summary.rstrip('.')}), and write:")
    if shown["optional"]:
        lines += ["", _filled(f"Can be overridden: {', '.join(shown['optional'])}")]
    if shown["given"]:
        lines += ["", "Given to a constructor that names them:"]
        lines += [_filled(f"  {a['name']}: {a['type']}, {a['doc']}") for a in shown["given"]]
    width = max((len(c["name"]) for c in shown["components"]), default=0)
    lines += ["", "Contains:"]
    lines += [_filled(f"  {c['name']:<{width}}  {c['summary']}") for c in shown["components"]]
    if example := shown["example"]:
        lines += ["", f"Example: {example['name']}, {example['lines']} lines, {example['file']}"]
        lines += ["", textwrap.indent(example["code"].rstrip(), "    ")]
    return "\n".join([*lines, *_how_to_register(shown["kind"], shown["class"])])


def _methods(shown: dict[str, Any], heading: str) -> list[str]:
    lines = ["", _filled(heading)] if shown["methods"] else []
    for method in shown["methods"]:
        lines += [f"  {method['name']}{method['signature']}"]
        lines += [textwrap.indent(method["doc"], "      ")]
    return lines


def _how_to_register(kind: str, class_path: str) -> list[str]:
    module, _, base = class_path.rpartition(".")
    package = module.rpartition(".")[0]
    if hasattr(sys.modules.get(package), base):
        module = package
    file, imported = f"my_{kind}.py", f"    from {module} import {base}"
    heading = ["", f"Write one in a file of its own, {file}:", ""]
    if kind in BASES:
        option = f"--trainer.{kind}s+=" if kind == "callback" else f"--trainer.{kind}="
        use = f"Use it: vidiff fit -c CONFIG --plugins {file} {option}my_{kind}.My{base}"
        return [*heading, imported, "", f"    class My{base}({base}):", "", use]
    return [
        *heading, imported, "    from vidiff.registry import register", "",
        f'    @register("my_{kind}")', f"    class My{base}({base}):", "",
        f"Check it: vidiff check {file}",
    ]  # fmt: skip


def _filled(text: str) -> str:
    return textwrap.fill(text, 100, subsequent_indent="      ", break_on_hyphens=False)
