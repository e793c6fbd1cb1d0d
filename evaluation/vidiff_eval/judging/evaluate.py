"""Measuring sets of clips with metrics: what ``vidiff evaluate`` does."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from vidiff.checks import at_least
from vidiff.errors import Errors
from vidiff.evaluation_report import Group, ProtocolInfo, Report
from vidiff_eval.clips.clip import ClipSet, describe_set
from vidiff_eval.clips.pairing import keep_pairs
from vidiff_eval.clips.sample_index import precision_of
from vidiff_eval.extraction.extract import check_sizes, extract
from vidiff_eval.extraction.failing import Reasons, misfits, noting, one_line
from vidiff_eval.extraction.feature_table import StoredTable
from vidiff_eval.extraction.processes import is_first
from vidiff_eval.extraction.store import Store
from vidiff_eval.judging.cautions import cautions
from vidiff_eval.judging.findings import Findings, Tables, find
from vidiff_eval.judging.metric_group import MetricGroup
from vidiff_eval.judging.sanity import REFERENCE, has_part, sanity_of, sanity_sets
from vidiff_eval.metrics.base import Measured, PairMetric, VideoMetric
from vidiff_eval.protocols.protocol import Protocol, fingerprint

T = TypeVar("T")

Skipped = dict[str, str]
"""By file of a set, why it is left out."""

BY_FEATURES = ("resize", "to_uint8", "batch_norm_eps", "covariance")
"""What a protocol says of networks and metrics, and these repeat in their settings."""


def evaluate(
    metrics: Mapping[str, VideoMetric],
    generated: Mapping[str, ClipSet],
    real: ClipSet | None = None,
    *,
    protocol: Protocol,
    store: Store,
    num_sanity: int = 32,
    batch_size: int = 8,
    progress: bool = True,
) -> Report | None:
    """Measure groups of generated clips, with real ones where there are any.

    Every process of a group has to call this, with the same arguments; each takes features from
    its share of the clips. The first one makes the report.

    Args:
        metrics: by name; they follow the protocol from now on.
        generated: groups of clips by name.
        real: what metrics that compare sets or pairs compare with.
        protocol: that the clips were chosen by.
        store: keeps features.
        num_sanity: real clips of each half that the sanity rows are made from; 0 for none.
        batch_size: clips that go through a network at once.
        progress: whether to show bars.

    Returns:
        The report; None on all processes but the first.

    Raises:
        Errors: before the work, with all that shows that metrics cannot measure these clips.
        ValueError: if a set has no clip that can be read, clips differ in size or length, or
            nothing could be measured.
    """
    at_least(1, batch_size=batch_size)
    at_least(0, num_sanity=num_sanity)
    for metric in metrics.values():
        metric.follow(protocol)
    check_sizes([*generated.values(), *([real] if real else [])])
    wrong = {name: list(misfits(metric, generated, real)) for name, metric in metrics.items()}
    if any(wrong.values()):
        raise Errors([f"{name}: {why}" for name, reasons in wrong.items() for why in reasons])
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    failed: Reasons = {}
    group, generated, real = _extracted(
        MetricGroup(metrics), generated, real, store, failed, **options
    )
    sanity = sanity_sets(real, num_sanity) if real else {}
    with noting(failed, "the sanity rows"):
        features = [*_with_part(group, sanity).features.values()]
        extract([*sanity.values()], features, store, label="sanity rows", **options)
    if not is_first():
        return None
    tables = Tables(
        {name: StoredTable(clips, store) for name, clips in generated.items()},
        StoredTable(real, store) if real else None,
        {row: StoredTable(clips, store, as_given=True) for row, clips in sanity.items()},
    )
    found = find(group, tables, failed)
    return _report(_measured(group, found, failed), tables, found, failed, protocol)


def _report(
    group: MetricGroup, tables: Tables, found: Findings, failed: Reasons, protocol: Protocol
) -> Report:
    real = tables.real.clips if tables.real else None
    generated = {name: table.clips for name, table in tables.generated.items()}
    curves = (curve for some in _in_order(found.curves, group).values() for curve in some)
    num_sanity = len(tables.sanity[REFERENCE]) if tables.sanity else 0
    report = Report(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions=_versions(),
        hardware=_hardware(),
        precision={name: precision_of(clips.folder) for name, clips in generated.items()},
        protocol=ProtocolInfo(protocol.name, protocol.fingerprint, protocol.record),
        real=_group(real, found.real, _in_order(found.real, group)) if real else None,
        groups={
            name: _group(clips, found.generated[name], group.metrics)
            for name, clips in generated.items()
        },
        metrics=group.describe(found.noise_floors),
        sanity=sanity_of(_in_order(found.sanity, group), num_sanity),
        curves=[curve for curve in curves if curve.series],
        not_measured=failed,
    )
    for name, clips in generated.items():
        compared = _compared(group, protocol, clips, real)
        report.groups[name].compared = compared
        report.groups[name].fingerprints = {
            m: fingerprint(record) for m, record in compared.items()
        }
    report.warnings = cautions(report, protocol)
    return report


def _with_part(group: MetricGroup, sanity: Mapping[str, ClipSet]) -> MetricGroup:
    """The metrics that measure the sanity rows."""
    count = len(sanity[REFERENCE]) if sanity else None
    return group.only([n for n, metric in group.metrics.items() if has_part(metric, count)])


def _extracted(
    group: MetricGroup,
    generated: Mapping[str, ClipSet],
    real: ClipSet | None,
    store: Store,
    failed: Reasons,
    **options: Any,
) -> tuple[MetricGroup, dict[str, ClipSet], ClipSet | None]:
    """The metrics whose features could be taken, and the sets without files that are damaged; what
    is found of the others is kept.
    """
    sets = [*generated.values(), *([real] if real else [])]

    def take(some: MetricGroup, skipped: list[Skipped]) -> None:
        found = extract(sets, [*some.features.values()], store, **options)
        for known, damaged in zip(skipped, found, strict=True):
            known.update(damaged)

    group, damaged = _each(group, len(sets), take, failed)
    left = [clips.without(skipped) for clips, skipped in zip(sets, damaged, strict=True)]
    groups, real = dict(zip(generated, left, strict=False)), left[-1] if real else None
    of_pairs = group.of_pairs
    if of_pairs.metrics and real:

        def take_pairs(some: MetricGroup, skipped: list[Skipped]) -> None:
            pairs = cast("list[PairMetric]", [*some.metrics.values()])
            for known, clips in zip(skipped, groups.values(), strict=True):
                known.update(keep_pairs(pairs, real, clips, store, **options))

        others = [name for name in group.metrics if name not in of_pairs.metrics]
        kept, damaged = _each(of_pairs, len(groups), take_pairs, failed, is_all=not others)
        group = group.only([*others, *kept.metrics])
        groups = {
            name: clips.without(skipped)
            for (name, clips), skipped in zip(groups.items(), damaged, strict=True)
        }
    for clips in [*groups.values(), *([real] if real else [])]:
        if not clips.clips:
            reasons = "; ".join(f"{file}: {why}" for file, why in [*clips.skipped.items()][:3])
            raise ValueError(f"{clips.folder} has no video left that can be read ({reasons})")
    return group, groups, real


def _each(
    group: MetricGroup,
    num_sets: int,
    take: Callable[[MetricGroup, list[Skipped]], None],
    failed: Reasons,
    is_all: bool = True,
) -> tuple[MetricGroup, list[Skipped]]:
    """Take what metrics need in one pass; if that fails, one by one, so that the others are kept.

    Args:
        group: the metrics.
        num_sets: of clips.
        take: does it, and adds the damaged files of each set.
        failed: is told of the metrics that are left out.
        is_all: whether there are no other metrics: then it is an error if all fail.
    """
    skipped: list[Skipped] = [{} for _ in range(num_sets)]
    try:
        take(group, skipped)
        return group, skipped
    except (ValueError, RuntimeError) as error:  # on all processes if on one
        if is_all and len(group.metrics) == 1:
            raise
        first = error
    kept = []
    for name in group.metrics:
        try:
            take(group.only([name]), skipped)
        except (ValueError, RuntimeError) as error:
            failed[name] = one_line(error)
        else:
            kept.append(name)
    if is_all and not kept:
        raise first
    return group.only(kept), skipped


def _measured(group: MetricGroup, found: Findings, failed: Reasons) -> MetricGroup:
    """The metrics of which some set of generated clips has scores.

    Raises:
        ValueError: if there are none.
    """
    names = [name for measured in found.generated.values() for name in measured]
    if not names:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise ValueError(f"nothing could be measured: {reasons}")
    return group.only(names)


def _in_order(found: Mapping[str, T], group: MetricGroup) -> dict[str, T]:
    """What was found by name of the metric, in the order of the metrics."""
    return {name: found[name] for name in group.metrics if name in found}


def _group(clips: ClipSet, measured: Mapping[str, Measured], names: Iterable[str]) -> Group:
    """A set with the scores of metrics; of those that could not measure it, none."""
    group = describe_set(clips)
    group.scores = {name: measured[name].scores if name in measured else [] for name in names}
    rows = {name: found.rows for name in group.scores
            if (found := measured.get(name)) and found.rows is not None}  # fmt: skip
    group.videos = [
        clip.describe(index, {name: some[index] for name, some in rows.items()})
        for index, clip in enumerate(clips.clips)
    ]
    return group


def _compared(
    group: MetricGroup, protocol: Protocol, clips: ClipSet, real: ClipSet | None
) -> dict[str, dict[str, Any]]:
    """By metric, all that has to be equal for scores to be comparable."""
    choice = {name: value for name, value in protocol.record.items() if name not in BY_FEATURES}
    compared = {}
    for name, metric in group.metrics.items():
        record = {"protocol": choice, "settings": metric.settings}
        if metric.needs_real and real:
            record["real"] = {"sha256": real.sha256, "num_clips": len(real)}
        if metric.kind == "sets":
            record["generated"] = {"num_clips": len(clips)}
        if metric.needs_prompts:
            prompts = sorted(clip.video.prompt for clip in clips.clips)
            record["prompts"] = {"fingerprint": fingerprint(prompts), "number": len(prompts)}
        compared[name] = record
    return compared


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    packages = ("vidiff", "torch", "torchvision", "av", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _hardware() -> dict[str, Any]:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {"device": device, "num_cores": os.cpu_count()}
