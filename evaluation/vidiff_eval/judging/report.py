"""The report of an evaluation, from what metrics found."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from vidiff.evaluation_report import Group, ProtocolInfo, Report
from vidiff_eval.clips.clip import ClipSet
from vidiff_eval.clips.sample_index import precision_of
from vidiff_eval.judging.cautions import cautions
from vidiff_eval.judging.findings import Findings
from vidiff_eval.judging.sanity import REFERENCE, sanity_of
from vidiff_eval.metrics.base import Measured, VideoMetric
from vidiff_eval.protocols.protocol import Protocol, fingerprint

T = TypeVar("T")

BY_FEATURES = ("resize", "to_uint8", "batch_norm_eps", "covariance")
"""Values of a protocol that networks and metrics repeat in their settings."""


def report(found: Findings) -> Report:
    """All that was found and how, with cautions."""
    tables, metrics = found.tables, found.metrics.metrics
    protocol, sides = tables.protocol, tables.sides

    def in_order(by_metric: Mapping[str, T]) -> dict[str, T]:
        return {name: by_metric[name] for name in metrics if name in by_metric}

    made = Report(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions=_versions(),
        hardware=_hardware(),
        precision={name: precision_of(clips.folder) for name, clips in sides.generated.items()},
        protocol=ProtocolInfo(protocol.name, protocol.fingerprint, protocol.record),
        real=_group(sides.real, found.real, in_order(found.real)) if sides.real else None,
        groups={
            name: _group(clips, found.generated[name], metrics)
            for name, clips in sides.generated.items()
        },
        metrics=found.metrics.describe(found.noise_floors),
        sanity=sanity_of(in_order(found.sanity), len(tables.sanity.get(REFERENCE, ()))),
        curves=[c for some in in_order(found.curves).values() for c in some if c.series],
        not_measured=tables.not_measured,
    )
    for name, group in made.groups.items():
        for metric in metrics:
            compared = _compared(metrics[metric], protocol, sides.generated[name], sides.real)
            group.compared[metric] = compared
            group.fingerprints[metric] = fingerprint(compared)
    made.warnings = cautions(made, protocol)
    return made


def _group(clips: ClipSet, measured: Mapping[str, Measured], names: Iterable[str]) -> Group:
    """A set with the scores of metrics; of those that could not measure it, none."""
    group = clips.describe()
    group.scores = {name: measured[name].scores if name in measured else [] for name in names}
    rows = {name: found.rows for name in group.scores
            if (found := measured.get(name)) and found.rows is not None}  # fmt: skip
    group.videos = [
        clip.describe(index, {name: some[index] for name, some in rows.items()})
        for index, clip in enumerate(clips.clips)
    ]
    return group


def _compared(
    metric: VideoMetric, protocol: Protocol, clips: ClipSet, real: ClipSet | None
) -> dict[str, Any]:
    """All that has to be equal for scores of a metric to be comparable."""
    choice = {name: value for name, value in protocol.record.items() if name not in BY_FEATURES}
    record: dict[str, Any] = {"protocol": choice, "settings": metric.settings}
    if metric.needs_real and real:
        record["real"] = {"sha256": real.sha256, "num_clips": len(real)}
    if metric.kind == "sets":
        record["generated"] = {"num_clips": len(clips)}
    if metric.needs_prompts:
        prompts = sorted(clip.video.prompt for clip in clips.clips)
        record["prompts"] = {"fingerprint": fingerprint(prompts), "number": len(prompts)}
    return record


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    packages = ("vidiff", "torch", "torchvision", "av", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _hardware() -> dict[str, Any]:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {"device": device, "num_cores": os.cpu_count()}
