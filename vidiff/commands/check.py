"""``vidiff check``: do components keep the promises of their kinds?"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidiff.commands.base import LightCommand
from vidiff.commands.components import find_component
from vidiff.config_nodes import arguments_of
from vidiff.plugins import PluginError, load_plugins
from vidiff.registry import Component, all_components, get_kind, register


@dataclass(frozen=True)
class Verdict:
    """What the checks say of a component."""

    kind: str  # empty for a file that cannot be loaded
    name: str
    place: str  # its file and line; those of the error, where that was raised in its own code
    problem: str | None = None  # the promise that it breaks, or the error
    note: str = ""  # what was not checked

    def __str__(self) -> str:
        who = f"{self.kind} {self.name!r} ({self.place})" if self.kind else self.name
        told = self.problem or self.note
        return f"{'broken' if self.problem else 'ok':<8}{who}{': ' if told else ''}{told}"


@register("check")
class CheckComponents(LightCommand):
    """Check that components keep the promises of their kinds: docs, shapes, gradients, saving.

    The checks are those of ``vidiff.testing``. The exit status is 1 if one is broken.
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "targets", nargs="+", metavar="FILE | NAME",
            help="a file or package, for all that it registers; or a component, as `full` or "
            "`attention.full`",
        )  # fmt: skip
        parser.add_argument(
            "--settings", default="{}", metavar="YAML",
            help="arguments of the component's constructor, as in '{window: [1, 2, 2]}'",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, args: Namespace) -> int:
        from vidiff.yaml_files import load_yaml

        settings = load_yaml(args.settings, "--settings")
        if not isinstance(settings, dict):
            raise ValueError(f"--settings must be like '{{depth: 2}}', got {args.settings!r}")
        found = [one for target in args.targets for one in _components(target)]
        if settings and (len(found) != 1 or isinstance(found[0], Verdict)):
            raise ValueError(
                f"--settings are of one component, and {' '.join(args.targets)} is {len(found)}: "
                "name one, as in attention.full"
            )
        verdicts = [one if isinstance(one, Verdict) else check(one, settings) for one in found]
        if args.json:
            print(json.dumps([asdict(verdict) for verdict in verdicts], indent=2))
        else:
            print("\n".join(map(str, verdicts)))
        return int(any(verdict.problem for verdict in verdicts))


def check(component: Component, settings: dict[str, Any]) -> Verdict:
    """Run a component's checks, built with ``settings``; a ``ValueError`` if these are wrong."""
    from vidiff.faults import fault_of, place_of
    from vidiff.testing import check_component, is_checked

    kind, name, place = component.kind, component.name, place_of(component.cls)
    taken = {n: p for n, p in arguments_of(component.cls).items() if n not in get_kind(kind).given}
    if needed := [n for n, p in taken.items() if p.default is p.empty and n not in settings]:
        example = ", ".join(f"{argument}: …" for argument in needed)
        return Verdict(kind, name, place, f"not built: give --settings '{{{example}}}'")
    parsed = _parsed(component, settings, list(taken))
    try:
        check_component(kind, name, **parsed)
    except AssertionError as error:
        return Verdict(kind, name, place, str(error.__cause__ or error))
    except Exception as error:
        fault = fault_of(error, component)
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Verdict(kind, name, fault.place if fault else place, message)
    note = "" if is_checked(kind) else "docs and arguments; nothing else is checked of this kind"
    return Verdict(kind, name, place, note=note)


def _components(target: str) -> Iterator[Component | Verdict]:
    """The components that a file, a package or a name means."""
    if not (target.endswith(".py") or "/" in target):
        yield find_component(target)
        return
    path = Path(target).expanduser().resolve()
    if not (found := _registered_in(path)):
        try:
            load_plugins([target])
        except PluginError as error:
            yield Verdict("", target, "", str(error))
            return
        found = _registered_in(path)
    yield from found
    if not found:
        yield Verdict(
            "", target, "", "registers no component: put @register(\"name\") above a class that "
            "extends a kind's base class (vidiff components show KIND)",
        )  # fmt: skip


def _registered_in(path: Path) -> list[Component]:
    files = ((c, Path(c.file).resolve()) for c in all_components() if c.file)
    return [component for component, file in files if path in (file, *file.parents)]


def _parsed(component: Component, settings: dict[str, Any], known: list[str]) -> dict[str, Any]:
    """Settings as the constructor takes them, parts by their names included."""
    if not settings:
        return {}
    from jsonargparse import ArgumentParser as Parser

    from vidiff.cli import names
    from vidiff.cli.errors import explain, unknown

    names.install()
    for name in settings:
        if name not in known:
            raise ValueError(unknown(f"settings.{name}", name, known))
    parser = Parser(exit_on_error=False)
    given = set(get_kind(component.kind).given)
    parser.add_class_arguments(component.cls, "settings", skip=given)
    try:
        parsed = parser.parse_object({"settings": settings})
        values = parser.instantiate(parsed, instantiate_groups=False).settings
    except Exception as error:
        raise ValueError(explain(str(error))) from error
    return {name: values[name] for name in settings}
