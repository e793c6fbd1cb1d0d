"""Measuring sets of clips with metrics: what ``vidiff evaluate`` does."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vidiff.checks import at_least
from vidiff.errors import Errors
from vidiff_eval.cautions import cautions
from vidiff_eval.clips import ClipSet, describe_set
from vidiff_eval.degradation import curves
from vidiff_eval.extraction import check_sizes, extract, load
from vidiff_eval.failing import Reasons, misfits, noting, one_line
from vidiff_eval.features.base import Features
from vidiff_eval.measuring import measure, measure_real
from vidiff_eval.metrics.base import ClipMetric, PairMetric, SetMetric, VideoMetric
from vidiff_eval.pairs import keep_pairs
from vidiff_eval.processes import is_first
from vidiff_eval.protocol import Protocol, fingerprint
from vidiff_eval.samples import precision_of
from vidiff_eval.sanity import has_part, sanity_rows, sanity_sets
from vidiff_eval.statistics.noise_floor import noise_floor
from vidiff_eval.store import Store

FORMAT = "vidiff evaluation 1"

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
) -> dict[str, Any]:
    """Measure groups of generated clips, beside real ones where there are any.

    Every process of a group has to call this, with the same arguments; each takes features from
    its share of the clips. The first one makes the report, the others get an empty one.

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
        The report as plain values, fit for JSON; ``report.json`` holds it.

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
    metrics, generated, real = _extracted(metrics, generated, real, store, failed, **options)
    sanity = sanity_sets(real, num_sanity) if real else {}
    with noting(failed, "the sanity rows"):
        seen = distinct(metric for metric in metrics.values() if has_part(metric, sanity))
        extract([*sanity.values()], seen, store, label="sanity rows", **options)
    if not is_first():
        return {}
    of_groups = {
        name: measure(metrics, clips, real, store, failed, name if len(generated) > 1 else "")
        for name, clips in generated.items()
    }
    metrics = _measured(metrics, of_groups, failed)
    report: dict[str, Any] = {
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "hardware": _hardware(),
        "precision": {name: precision_of(clips.folder) for name, clips in generated.items()},
        "protocol": {"name": protocol.name, "fingerprint": protocol.fingerprint, **protocol.record},
        "real": real and {**describe_set(real), **measure_real(metrics, real, store, failed)},
        "groups": {
            name: {
                **describe_set(clips),
                **of_groups[name],
                **_compared(metrics, protocol, clips, real),
            }
            for name, clips in generated.items()
        },
        "metrics": {
            name: _describe(name, metric, real, store, max(map(len, generated.values())), failed)
            for name, metric in metrics.items()
        },
        "sanity": sanity_rows(metrics, sanity, store, failed),
        "curves": curves(metrics, generated, real, store, failed),
        "not_measured": failed,
    }
    return _finite({**report, "warnings": cautions(report, metrics, protocol)})


def distinct(metrics: Iterable[VideoMetric]) -> list[Features]:
    """The features that metrics share, each once."""
    features = (m.features for m in metrics if isinstance(m, (ClipMetric, SetMetric)))
    return list({fingerprint(one.settings): one for one in features}.values())


def _extracted(
    metrics: Mapping[str, VideoMetric],
    generated: Mapping[str, ClipSet],
    real: ClipSet | None,
    store: Store,
    failed: Reasons,
    **options: Any,
) -> tuple[dict[str, VideoMetric], dict[str, ClipSet], ClipSet | None]:
    """The metrics whose features could be taken, and the sets without files that are damaged; what
    is found of the others is kept.
    """
    sets = [*generated.values(), *([real] if real else [])]

    def take(some: Mapping[str, VideoMetric], skipped: list[Skipped]) -> None:
        for known, found in zip(
            skipped, extract(sets, distinct(some.values()), store, **options), strict=True
        ):
            known.update(found)

    metrics, damaged = _each(metrics, len(sets), take, failed)
    left = [clips.without(skipped) for clips, skipped in zip(sets, damaged, strict=True)]
    groups, real = dict(zip(generated, left, strict=False)), left[-1] if real else None
    of_pairs = {name: metric for name, metric in metrics.items() if isinstance(metric, PairMetric)}
    if of_pairs and real:

        def take_pairs(some: Mapping[str, VideoMetric], skipped: list[Skipped]) -> None:
            pairs = [metric for metric in some.values() if isinstance(metric, PairMetric)]
            for known, clips in zip(skipped, groups.values(), strict=True):
                known.update(keep_pairs(pairs, real, clips, store, **options))

        others = {name: metric for name, metric in metrics.items() if name not in of_pairs}
        kept, damaged = _each(of_pairs, len(groups), take_pairs, failed, is_all=not others)
        metrics = {name: metric for name, metric in metrics.items() if name in kept | others}
        groups = {
            name: clips.without(skipped)
            for (name, clips), skipped in zip(groups.items(), damaged, strict=True)
        }
    for clips in [*groups.values(), *([real] if real else [])]:
        if not clips.clips:
            reasons = "; ".join(f"{file}: {why}" for file, why in [*clips.skipped.items()][:3])
            raise ValueError(f"{clips.folder} has no video left that can be read ({reasons})")
    return metrics, groups, real


def _each(
    metrics: Mapping[str, VideoMetric],
    num_sets: int,
    take: Callable[[Mapping[str, VideoMetric], list[Skipped]], None],
    failed: Reasons,
    is_all: bool = True,
) -> tuple[dict[str, VideoMetric], list[Skipped]]:
    """Take what metrics need in one pass; if that fails, one by one, so that the others are kept.

    Args:
        metrics: by name.
        num_sets: of clips.
        take: does it, and adds the damaged files of each set.
        failed: is told of the metrics that are left out.
        is_all: whether there are no other metrics: then it is an error if all fail.
    """
    skipped: list[Skipped] = [{} for _ in range(num_sets)]
    try:
        take(metrics, skipped)
        return dict(metrics), skipped
    except (ValueError, RuntimeError) as error:  # on all processes if on one
        if is_all and len(metrics) == 1:
            raise
        first = error
    kept = {}
    for name, metric in metrics.items():
        try:
            take({name: metric}, skipped)
        except (ValueError, RuntimeError) as error:
            failed[name] = one_line(error)
        else:
            kept[name] = metric
    if is_all and not kept:
        raise first
    return kept, skipped


def _measured(
    metrics: Mapping[str, VideoMetric], groups: Mapping[str, dict[str, Any]], failed: Reasons
) -> dict[str, VideoMetric]:
    """The metrics of which some group has figures; the others get none anywhere.

    Raises:
        ValueError: if there are none.
    """
    measured = {
        name: metric
        for name, metric in metrics.items()
        if any(name in group["figures"] for group in groups.values())
    }
    for group in groups.values():
        for name in measured:
            group["figures"].setdefault(name, [])
    if not measured:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise ValueError(f"nothing could be measured: {reasons}")
    return measured


def _compared(
    metrics: Mapping[str, VideoMetric], protocol: Protocol, clips: ClipSet, real: ClipSet | None
) -> dict[str, Any]:
    """By metric, all that has to be equal for figures to be comparable, and its fingerprint."""
    choice = {name: value for name, value in protocol.record.items() if name not in BY_FEATURES}
    compared = {}
    for name, metric in metrics.items():
        record = {"protocol": choice, "settings": metric.settings}
        if metric.needs_real and real:
            record["real"] = {"sha256": real.sha256, "num_clips": len(real)}
        if metric.compares == "sets":
            record["generated"] = {"num_clips": len(clips)}
        if metric.needs_prompts:
            prompts = sorted(clip.video.prompt for clip in clips.clips)
            record["prompts"] = {"fingerprint": fingerprint(prompts), "number": len(prompts)}
        compared[name] = record
    fingerprints = {name: fingerprint(record) for name, record in compared.items()}
    return {"compared": compared, "fingerprints": fingerprints}


def _describe(
    name: str,
    metric: VideoMetric,
    real: ClipSet | None,
    store: Store,
    num_clips: int,
    failed: Reasons,
) -> dict[str, Any]:
    floor = None
    if isinstance(metric, SetMetric) and metric.has_floor and real is not None:
        with noting(failed, f"the noise floor of {name}"):
            features = load(real.by_content, metric.features, store)[metric.output]
            floor = noise_floor(metric, features, num_clips)
        if floor:
            at_most = "an upper bound: too few real clips for two parts as large as a group"
            floor["note"] = at_most if floor["is_upper_bound"] else ""
    return {
        "kind": metric.compares,
        "summary": (type(metric).__doc__ or "").strip().partition("\n")[0],
        "higher_is_better": metric.higher_is_better,
        "figures": list(metric.figures),
        "settings": metric.settings,
        "noise_floor": floor,
    }


def _finite(data: Any) -> Any:
    """Plain values with None for numbers that JSON does not have."""
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    packages = ("vidiff", "torch", "torchvision", "av", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _hardware() -> dict[str, Any]:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {"device": device, "num_cores": os.cpu_count()}
