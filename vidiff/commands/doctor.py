"""``vidiff doctor``: what this machine and installation can do, and what to do about the rest."""

from __future__ import annotations

import json
import os
import re
import textwrap
from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from vidiff.commands.base import LightCommand
from vidiff.doctor.base import Check, Finding
from vidiff.registry import get_kind, register

MARKS = {"ok": " ", "optional": "-", "wrong": "!"}
SECRET = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
"""In names of environment variables whose values are not printed."""

WIDTH = 100


@register("doctor")
class Doctor(LightCommand):
    """Check this machine and installation: what is fast, what is missing, and what to do.

    Lines begin with ``!`` where something is wrong, with ``-`` where something could be added. The
    exit status is 1 if anything is wrong.
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, args: Namespace) -> int:
        found = examine()
        if args.json:
            data = {name: [asdict(one) for one in group] for name, group in found.items()}
            text = json.dumps({"checks": data}, indent=2, ensure_ascii=False)
        print(without_secrets(text if args.json else as_text(found)))
        return int(any(one.state == "wrong" for group in found.values() for one in group))


def examine() -> dict[str, list[Finding]]:
    """The findings of all registered checks, by the check's name, in the order of their places."""
    checks = get_kind("check").components.values()
    ordered = sorted(checks, key=lambda check: (check.cls.place, check.name))  # type: ignore[attr-defined]
    return {check.name: _look(check.name, check.cls) for check in ordered}


def _look(name: str, cls: type[Check]) -> list[Finding]:
    """Findings of a check; its failure is one, as the others are then needed most."""
    try:
        return cls().look()
    except Exception as error:
        said = " ".join(str(error).split())
        step = f"report this, or mend the package that brings it ({cls.__module__})"
        return [Finding(name, f"failed: {type(error).__name__}: {said}", step, "wrong")]


def as_text(found: dict[str, list[Finding]]) -> str:
    """All findings for people, with a line at the end that counts what there is to do."""
    width = max(len(one.name) for group in found.values() for one in group)
    lines = []
    for name, group in found.items():
        lines.append(name.replace("_", " "))
        for one in group:
            start = f"{MARKS[one.state]} {one.name:<{width}}  "
            lines += _wrapped(start, one.found)
            lines += _wrapped(f"{'':{width + 2}}  -> ", one.next_step) if one.next_step else []
    states = [one.state for group in found.values() for one in group]
    wrong, optional = states.count("wrong"), states.count("optional")
    said = f"{wrong} to mend (!)" if wrong else "Nothing is wrong"
    lines += ["", f"{said}; {optional} could be added or changed (-)."]
    return "\n".join(lines)


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def without_secrets(text: str) -> str:
    """Text without passwords of addresses and values of variables that are named like secrets."""
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) >= 6:
            for form in {value, json.dumps(value, ensure_ascii=False)[1:-1]}:
                text = text.replace(form, "***")
    return re.sub(r"(?<=://)[^/\s@]+(?=@)", "***", text)
