"""Plugins that are installed: loaded, or left out with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import ClassVar

from vidiff.doctor.base import Check, Finding
from vidiff.plugins import GROUP, FailedPlugin, failed_plugins, load_installed
from vidiff.registry import register


@register("plugins")
class Plugins(Check):
    """Installed plugins, and why one was left out."""

    place: ClassVar[int] = 7

    def look(self) -> list[Finding]:
        load_installed()
        packages = {
            entry.name: f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
            for entry in entry_points(group=GROUP)
        }
        return judge(packages, failed_plugins())


def judge(packages: dict[str, str], failed: Sequence[FailedPlugin]) -> list[Finding]:
    """A line for each plugin.

    Args:
        packages: name and version of the distribution, by the plugin's name.
        failed: those that were left out.
    """
    reasons = {one.name: one for one in failed}
    findings = []
    for name, package in sorted(packages.items()):
        facts = {"package": package, "error": None}
        if (failure := reasons.get(name)) is None:
            findings.append(Finding(name, f"loaded, from {package}", facts=facts))
            continue
        distribution = package.partition(" ")[0]
        step = f"mend it, pip install -U {distribution}, or pip uninstall {distribution}"
        facts["error"] = failure.reason
        findings.append(Finding(name, f"left out: {failure.reason}", step, "wrong", facts))
    if not findings:
        step = "vidiff evaluate comes with one: install vidiff (pip install -e .) so that it is "
        step += "found"
        findings.append(Finding("plugins", "none is installed", step, "wrong"))
    return findings
