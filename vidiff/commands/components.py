"""``vidiff components``: what can be put into a config, and what each part takes."""

from __future__ import annotations

import json
import re
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from vidiff.commands.base import LightCommand
from vidiff.commands.kind_page import kind_page
from vidiff.commands.lightning_parts import BASES, LightningPart, lightning_parts, load_kind
from vidiff.commands.parts import describe, describe_kind, row
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
    """List the registered components, or show a kind or one of them: what it promises and takes."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "words",
            nargs="*",
            metavar="KIND | show KIND | show NAME",
            help="one kind to list (all, by default); or `show attention`, what a kind promises, "
            "with an example to copy; or `show dit`, what a component takes, or `show "
            "denoiser.dit` where several kinds have the name",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, args: Namespace) -> int:
        match args.words:
            case ["show", name]:
                kinds = [kind.name for kind in list_kinds()]
                if name in kinds or name in BASES:
                    shown = describe_kind(get_kind(name) if name in kinds else load_kind(name))
                    page = kind_page(shown)
                else:
                    shown = describe(find_component(name))
                    page = _page(shown)
                print(json.dumps(shown, indent=2) if args.json else page)
            case [] | [_]:
                listed = list_all(args.words[0] if args.words else "")
                rows = [row(component) for component in listed]
                print(json.dumps(rows, indent=2) if args.json else _table(listed))
                for failure in failed_plugins():
                    print(f"\nplugin left out: {failure}")
            case _:
                raise ValueError(
                    "use: vidiff components [KIND], or vidiff components show KIND or NAME"
                )
        return 0


def list_all(kind_name: str = "") -> list[Component | LightningPart]:
    """The components of a kind, or of all; by kind and name, Lightning's kinds last.

    Raises:
        ValueError: if there is no such kind.
    """
    if kind_name in BASES:
        return [*lightning_parts(kind_name)]
    kinds = [get_kind(kind_name)] if kind_name else list_kinds()
    listed = [kind.components[name] for kind in kinds for name in list_components(kind.name)]
    return [*listed, *([] if kind_name else lightning_parts())]


def find_component(name: str) -> Component:
    """The component called ``name`` or ``kind.name``.

    Raises:
        ValueError: if there is none, with the nearest, or if several kinds have the name.
    """
    kind_name, _, short = name.rpartition(".")
    if kind_name and kind_name not in BASES:
        return get_component(kind_name, short)
    parts = list_all(kind_name)
    found = [part for part in parts if part.name == short]
    if len(found) > 1:
        full = ", ".join(f"{c.kind}.{c.name}" for c in found)
        raise ValueError(f"several kinds have a component {name!r}; say which: {full}")
    if not found:
        kinds = [*BASES, *(kind.name for kind in list_kinds())]
        hint = nearest(short, [part.name for part in parts])
        if kinds := get_close_matches(short, kinds, n=1, cutoff=0.7):
            hint = (
                f"{hint.rstrip('?') + ' or' if hint else ', did you mean'} the kind {kinds[0]!r}?"
            )
        raise ValueError(
            f"unknown component {name!r}{hint}; `vidiff components` lists all{left_out()}"
        )
    one = found[0]
    return one.load() if isinstance(one, LightningPart) else one


def _table(components: Sequence[Component | LightningPart]) -> str:
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
