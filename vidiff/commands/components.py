"""``vidiff components``: what can be put into a config, and what each part takes."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from difflib import get_close_matches

from vidiff.commands.base import LightCommand
from vidiff.commands.lightning_parts import BASES, LightningPart, lightning_parts, load_kind
from vidiff.commands.parts import component_page, describe, describe_kind, kind_page, row
from vidiff.formatting import columns
from vidiff.plugins import failed_plugins, left_out
from vidiff.registry import Component, get_component, get_kind, list_kinds, nearest, register


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
                kind = {kind.name: kind for kind in list_kinds()}.get(name)
                if kind or name in BASES:
                    shown = describe_kind(kind or load_kind(name))
                    page = kind_page(shown)
                else:
                    shown = describe(find_component(name))
                    page = component_page(shown)
                print(json.dumps(shown, indent=2) if args.json else page)
            case [] | [_]:
                rows = [row(one) for one in list_all(args.words[0] if args.words else "")]
                table = "\n".join(columns([[*cells.values()] for cells in rows]))
                print(json.dumps(rows, indent=2) if args.json else table)
                for failure in failed_plugins():
                    print(f"\nplugin left out: {failure}")
            case _:
                raise ValueError(
                    "use: vidiff components [KIND], or vidiff components show KIND or NAME"
                )
        return 0


def list_all(kind_name: str = "") -> list[Component | LightningPart]:
    """The components of a kind, or of all; by kind and name, Lightning's kinds last."""
    if kind_name in BASES:
        return [*lightning_parts(kind_name)]
    kinds = [get_kind(kind_name)] if kind_name else list_kinds()
    listed = [kind.components[name] for kind in kinds for name in sorted(kind.components)]
    return [*listed, *(() if kind_name else lightning_parts())]


def find_component(name: str) -> Component:
    """The component called ``name`` or ``kind.name``; a ``ValueError`` if none is, or several."""
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
            begun = f"{hint.rstrip('?')} or" if hint else ", did you mean"
            hint = f"{begun} the kind {kinds[0]!r}?"
        raise ValueError(
            f"unknown component {name!r}{hint}; `vidiff components` lists all{left_out()}"
        )
    one = found[0]
    return one.load() if isinstance(one, LightningPart) else one
