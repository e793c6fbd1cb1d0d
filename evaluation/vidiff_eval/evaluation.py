"""Measuring sets of clips with metrics: what ``vidiff evaluate`` does."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vidiff_eval.cautions import cautions
from vidiff_eval.clips import ClipSet, describe_set
from vidiff_eval.degradation import curves
from vidiff_eval.extraction import check_sizes, extract, load
from vidiff_eval.features.base import Features
from vidiff_eval.measuring import measure, measure_real
from vidiff_eval.metrics.base import ClipMetric, PairMetric, SetMetric, VideoMetric
from vidiff_eval.pairs import keep_pairs, pair
from vidiff_eval.processes import is_first
from vidiff_eval.protocol import Protocol, fingerprint
from vidiff_eval.samples import precision_of
from vidiff_eval.sanity import has_part, sanity_rows, sanity_sets
from vidiff_eval.statistics.noise_floor import noise_floor
from vidiff_eval.store import Store

FORMAT = "vidiff evaluation 1"

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
        ValueError: if a metric cannot measure these clips, a set has no clip that can be read, or
            clips differ in size or length.
    """
    for metric in metrics.values():
        metric.follow(protocol)
    check_sizes([*generated.values(), *([real] if real else [])])
    for name, metric in metrics.items():
        _check(name, metric, generated, real)
    options: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    generated, real = _extracted(list(metrics.values()), generated, real, store, **options)
    sanity = sanity_sets(real, num_sanity) if real else {}
    seen = distinct(metric for metric in metrics.values() if has_part(metric))
    extract([*sanity.values()], seen, store, label="sanity rows", **options)
    if not is_first():
        return {}
    report: dict[str, Any] = {
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "hardware": _hardware(),
        "precision": {name: precision_of(clips.folder) for name, clips in generated.items()},
        "protocol": {"name": protocol.name, "fingerprint": protocol.fingerprint, **protocol.record},
        "real": real and {**describe_set(real), **measure_real(metrics, real, store)},
        "groups": {
            name: {
                **describe_set(clips),
                **measure(metrics, clips, real, store),
                **_compared(metrics, protocol, clips, real),
            }
            for name, clips in generated.items()
        },
        "metrics": {
            name: _describe(metric, real, store, max(map(len, generated.values())))
            for name, metric in metrics.items()
        },
        "not_measured": {},
        "sanity": sanity_rows(metrics, sanity, store),
        "curves": curves(metrics, generated, real, store),
    }
    return _finite({**report, "warnings": cautions(report, metrics, protocol)})


def distinct(metrics: Iterable[VideoMetric]) -> list[Features]:
    """The features that metrics share, each once."""
    features = (m.features for m in metrics if isinstance(m, (ClipMetric, SetMetric)))
    return list({fingerprint(one.settings): one for one in features}.values())


def _check(
    name: str, metric: VideoMetric, generated: Mapping[str, ClipSet], real: ClipSet | None
) -> None:
    """Raise a ``ValueError`` before the work if the metric cannot measure these clips."""
    if metric.needs_real and real is None:
        raise ValueError(f"{name} compares with real videos: give their folder by --real")
    for group, clips in generated.items():
        bare = [clip for clip in clips.clips if not clip.video.prompt]
        if metric.needs_prompts and bare:
            raise ValueError(
                f"{name} judges videos by their prompts, and {bare[0].video.path} has none: "
                "give --prompts, or captions.csv in the folder"
            )
        try:
            metric.check(clips.clips)
        except ValueError as error:
            raise ValueError(f"{name} of {group}: {error}") from error
        if real and (metric.compares == "pairs" or getattr(metric, "paired", False)):
            pair(real, clips)


def _extracted(
    metrics: Sequence[VideoMetric],
    generated: Mapping[str, ClipSet],
    real: ClipSet | None,
    store: Store,
    **options: Any,
) -> tuple[dict[str, ClipSet], ClipSet | None]:
    """The sets without files that turned out to be damaged; what is found of the others is kept."""
    sets = [*generated.values(), *([real] if real else [])]
    damaged = extract(sets, distinct(metrics), store, **options)
    left = [clips.without(skipped) for clips, skipped in zip(sets, damaged, strict=True)]
    groups, real = dict(zip(generated, left, strict=False)), left[-1] if real else None
    of_pairs = [metric for metric in metrics if isinstance(metric, PairMetric)]
    if of_pairs and real:
        for name, clips in groups.items():
            groups[name] = clips.without(keep_pairs(of_pairs, real, clips, store, **options))
    for clips in [*groups.values(), *([real] if real else [])]:
        if not clips.clips:
            reasons = "; ".join(f"{file}: {why}" for file, why in [*clips.skipped.items()][:3])
            raise ValueError(f"{clips.folder} has no video left that can be read ({reasons})")
    return groups, real


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
    metric: VideoMetric, real: ClipSet | None, store: Store, num_clips: int
) -> dict[str, Any]:
    floor = None
    if isinstance(metric, SetMetric) and metric.has_floor and real is not None:
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
