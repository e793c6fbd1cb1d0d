"""Packages: versions against the set that is tested, optional extras, plugins."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from vidiff.doctor.base import Check, Finding, judged
from vidiff.plugins import GROUP, FailedPlugin, failed_plugins, load_installed, package_of
from vidiff.registry import register
from vidiff.version import __version__

PACKAGE = Path(__file__).parents[1]
TESTED = PACKAGE / "constraints.txt"
"""The tested set, in the form that ``pip install --constraint`` takes."""

MALWARE = {"lightning": ("2.6.2", "2.6.3")}

BRINGS = {
    "pretrained": "published autoencoders (diffusers) and text encoders (transformers)",
    "clip": "clip_score, clip_consistency, background_consistency, from a local CLIP",
    "prompts": "the rewriter chat, which asks a language model over the network (openai)",
    "flow": "warping_error and motion by OpenCV's optical flow",
    "cluster": "submitit and ray, which the launchers slurm and ray (plugins/vidiff-ray) need",
}
"""What each extra is for; ``dev`` is for those who change vidiff."""


@register("versions")
class Versions(Check):
    """vidiff, Python and the packages that vidiff needs, against the tested set."""

    place: ClassVar[int] = 2

    def look(self) -> list[Finding]:
        tested, python = tested_versions(), platform.python_version()
        installed = _installed({*tested, *required()})
        facts = {"vidiff": __version__, "python": python}
        ours = Finding("vidiff", f"{__version__} in {PACKAGE}, Python {python}", facts=facts)
        there = {name: version for name, version in installed.items() if version}
        return [ours, *judge_versions(required(), tested, there)]


@register("extras")
class Extras(Check):
    """Optional packages, what they bring, and how to install them."""

    place: ClassVar[int] = 4

    def look(self) -> list[Finding]:
        return [judge_extra(extra, _installed(required(extra))) for extra in BRINGS]


@register("plugins")
class Plugins(Check):
    """Installed plugins, and why one was left out."""

    place: ClassVar[int] = 7

    def look(self) -> list[Finding]:
        load_installed()
        entries = metadata.entry_points(group=GROUP)
        return judge_plugins({one.name: package_of(one) for one in entries}, failed_plugins())


def judge_versions(
    needed: list[str], tested: Mapping[str, str], installed: Mapping[str, str]
) -> list[Finding]:
    """The lines of packages that vidiff needs, and of those that these bring; versions by name."""

    def pip(names: Iterable[str]) -> str:
        return f"pip install --constraint {TESTED} {' '.join(names)}"

    def facts(names: Iterable[str]) -> dict[str, Any]:
        return {n: {"installed": installed.get(n), "tested": tested.get(n)} for n in names}

    bad = [name for name in MALWARE if _public(installed.get(name, "")) in MALWARE[name]]
    missing = [name for name in needed if name not in installed]
    differ = [n for n in tested if n in installed and _public(installed[n]) != tested[n]]
    ours = [name for name in needed if name in differ]
    others = [name for name in differ if name not in needed]
    found, step = f"{len(needed)} needed, all as tested", ""
    if bad:
        found = f"{', '.join(f'{name} {installed[name]}' for name in bad)} is malware"
        step = f"{pip(bad)}; then change all credentials that it could read"
    elif missing:
        found, step = f"missing: {', '.join(missing)}", pip(missing)
    elif ours:
        found = ", ".join(f"{name} {installed[name]} (tested: {tested[name]})" for name in ours)
        step = f"if something fails: {pip(ours)}"
    line = judged("packages", found, step, facts(needed), is_wrong=bool(bad or missing))
    if not others:
        return [line, Finding("others", "what these bring is as tested, where it is here")]
    shown = ", ".join(f"{name} {installed[name]} ({tested[name]})" for name in others[:4])
    more = f" and {len(others) - 4} more" if len(others) > 4 else ""
    found, step = f"other versions than were tested: {shown}{more}", pip(others)
    return [line, judged("others", found, f"if something fails: {step}", facts(others))]


def judge_extra(extra: str, packages: Mapping[str, str | None]) -> Finding:
    """The line of an extra, by the versions of what it installs; None for what is not there."""
    facts = {"packages": dict(packages), "brings": BRINGS[extra]}
    missing = [name for name, version in packages.items() if version is None]
    if missing or not packages:
        step = f"pip install 'vidiff[{extra}]' brings {BRINGS[extra]}"
        return judged(extra, f"not here: {', '.join(missing)}", step, facts)
    shown = ", ".join(f"{name} {version}" for name, version in packages.items())
    return Finding(extra, f"{shown}: {BRINGS[extra]}", facts=facts)


def judge_plugins(packages: dict[str, str], failed: Sequence[FailedPlugin]) -> list[Finding]:
    """A line for each plugin, by its name; packages are a distribution's name and version."""
    reasons = {one.name: one.reason for one in failed}
    findings = []
    for name, package in sorted(packages.items()):
        reason, found, step = reasons.get(name), f"loaded, from {package}", ""
        if reason is not None:
            distribution = package.partition(" ")[0]
            found = f"left out: {reason}"
            step = f"mend it, pip install -U {distribution}, or pip uninstall {distribution}"
        facts = {"package": package, "error": reason}
        findings.append(judged(name, found, step, facts, is_wrong=True))
    step = "vidiff evaluate comes with one: install vidiff (pip install -e .) so that it is found"
    return findings or [Finding("plugins", "none is installed", step, "wrong")]


def tested_versions() -> dict[str, str]:
    """The tested set: versions by normalised name."""
    lines = TESTED.read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {_normalised(name): version.strip() for name, version in pins}


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
            found.append(_normalised(re.split(r"[\s\[<>=!~]", requirement.strip())[0]))
    return sorted(found)


def _installed(names: Iterable[str]) -> dict[str, str | None]:
    """Versions by name; None for what is not there."""
    found: dict[str, str | None] = dict.fromkeys(names)
    for name in found:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _normalised(name: str) -> str:
    """A package's name as indices compare it: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _public(version: str) -> str:
    """Without the build: 2.15.0+cpu is 2.15.0."""
    return version.partition("+")[0]
