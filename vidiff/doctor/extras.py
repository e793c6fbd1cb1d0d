"""Optional extras of the package: what each brings, and whether it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vidiff.doctor.base import Check, Finding
from vidiff.doctor.versions import installed_version, required
from vidiff.registry import register

BRINGS = {
    "pretrained": "published autoencoders (diffusers), model.autoencoder pretrained",
    "clip": "clip_score, clip_consistency, background_consistency, from a local CLIP",
    "flow": "warping_error and motion by OpenCV's optical flow",
    "cluster": "submitit and ray, which the launchers slurm and ray (plugins/vidiff-ray) need",
}
"""By the extra's name; ``dev`` is for those who change vidiff."""


@register("extras")
class Extras(Check):
    """Optional packages, what they bring, and how to install them."""

    place: ClassVar[int] = 4

    def look(self) -> list[Finding]:
        return [
            judge(extra, {name: installed_version(name) for name in required(extra)})
            for extra in BRINGS
        ]


def judge(extra: str, packages: Mapping[str, str | None]) -> Finding:
    """The line of an extra.

    Args:
        extra: its name.
        packages: versions of what it installs; None for what is not there.
    """
    facts = {"packages": dict(packages), "brings": BRINGS[extra]}
    missing = [name for name, version in packages.items() if version is None]
    if missing or not packages:
        step = f"pip install 'vidiff[{extra}]' brings {BRINGS[extra]}"
        return Finding(extra, f"not here: {', '.join(missing)}", step, "optional", facts)
    shown = ", ".join(f"{name} {version}" for name, version in packages.items())
    return Finding(extra, f"{shown}: {BRINGS[extra]}", facts=facts)
