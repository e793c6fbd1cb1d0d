"""Versions of packages, against the set that is tested."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from vidiff.doctor.base import Check, Finding
from vidiff.registry import register
from vidiff.version import __version__

PACKAGE = Path(__file__).parents[1]
TESTED = PACKAGE / "constraints.txt"
"""The tested set, in the form that ``pip install --constraint`` takes."""

MALWARE = {"lightning": ("2.6.2", "2.6.3")}


@register("versions")
class Versions(Check):
    """vidiff, Python and the packages that vidiff needs, against the tested set."""

    place: ClassVar[int] = 2

    def look(self) -> list[Finding]:
        tested = tested_versions()
        names = {*tested, *required()}
        installed = {name: found for name in names if (found := installed_version(name))}
        ours = Finding(
            "vidiff",
            f"{__version__} in {PACKAGE}, Python {platform.python_version()}",
            facts={"vidiff": __version__, "python": platform.python_version()},
        )
        return [ours, *judge(required(), tested, installed)]


def judge(
    needed: list[str], tested: Mapping[str, str], installed: Mapping[str, str]
) -> list[Finding]:
    """The lines of packages that vidiff needs, and of those that these bring.

    Args:
        needed: names of what vidiff declares.
        tested: versions by name.
        installed: versions by name, of what is there.
    """
    pins = f"--constraint {TESTED}"
    bad = [name for name in MALWARE if _public(installed.get(name, "")) in MALWARE[name]]
    missing = [name for name in needed if name not in installed]
    other = [name for name in needed if _differs(name, tested, installed)]
    facts = _facts(needed, tested, installed)
    others = [name for name in tested if name not in needed and _differs(name, tested, installed)]
    differ = ", ".join(f"{name} {installed[name]} (tested: {tested[name]})" for name in other)
    if bad:
        said = ", ".join(f"{name} {installed[name]}" for name in bad)
        step = f"pip install {pins} {' '.join(bad)}; then change all credentials that it could read"
        line = Finding("packages", f"{said} is malware", step, "wrong", facts)
    elif missing:
        step = f"pip install {pins} {' '.join(missing)}"
        line = Finding("packages", f"missing: {', '.join(missing)}", step, "wrong", facts)
    elif other:
        step = f"if something fails: pip install {pins} {' '.join(other)}"
        line = Finding("packages", differ, step, "optional", facts)
    else:
        line = Finding("packages", f"{len(needed)} needed, all as tested", facts=facts)
    facts = _facts(others, tested, installed)
    if not others:
        return [line, Finding("others", "what these bring is as tested, where it is here")]
    shown = ", ".join(f"{name} {installed[name]} ({tested[name]})" for name in others[:4])
    more = f" and {len(others) - 4} more" if len(others) > 4 else ""
    found = f"other versions than were tested: {shown}{more}"
    step = f"if something fails: pip install {pins} {' '.join(others)}"
    return [line, Finding("others", found, step, "optional", facts)]


def tested_versions() -> dict[str, str]:
    """The tested set: versions by normalised name."""
    lines = TESTED.read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {normalised(name): version.strip() for name, version in pins}


def required(extra: str | None = None) -> list[str]:
    """Normalised names of the packages that vidiff declares, or one of its extras does."""
    try:
        declared = metadata.requires("vidiff") or []
    except metadata.PackageNotFoundError:
        declared = []
    found = []
    for line in declared:
        requirement, _, marker = line.partition(";")
        of = re.search(r"extra == ['\"]([^'\"]+)['\"]", marker)
        if (of[1] if of else None) == extra:
            found.append(normalised(re.split(r"[\s\[<>=!~]", requirement.strip())[0]))
    return sorted(found)


def installed_version(name: str) -> str | None:
    """The version of an installed package; None if it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def normalised(name: str) -> str:
    """A package's name as indices compare it: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _differs(name: str, tested: Mapping[str, str], installed: Mapping[str, str]) -> bool:
    return name in installed and name in tested and _public(installed[name]) != tested[name]


def _facts(
    names: list[str], tested: Mapping[str, str], installed: Mapping[str, str]
) -> dict[str, Any]:
    return {name: {"installed": installed.get(name), "tested": tested.get(name)} for name in names}


def _public(version: str) -> str:
    """Without the build: 2.15.0+cpu is 2.15.0."""
    return version.partition("+")[0]
