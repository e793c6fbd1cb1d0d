"""What metrics see: real clips with something done to them, next to real clips as they are."""

from __future__ import annotations

from collections.abc import Mapping

from vidiff.evaluation_report import Sanity
from vidiff_eval.clips.clip import ClipSet
from vidiff_eval.clips.transforms import TRANSFORMS
from vidiff_eval.judging.metric_group import MetricGroup
from vidiff_eval.metrics.base import VideoMetric
from vidiff_eval.protocols.protocol import fingerprint

LEAST = 2
"""Clips of each half."""

REFERENCE = "reference"
"""The unchanged half of the real clips, from which distances are measured."""


def sanity_sets(real: ClipSet | None, num_clips: int) -> dict[str, ClipSet]:
    """One half of real clips as they are and with something done to them, and the other half.

    Args:
        real: the clips; their contents decide the halves, whatever the files are called.
        num_clips: of each half at most.

    Returns:
        The other half as ``REFERENCE``, and a set for each row; empty if there are too few clips.
    """
    half = min(num_clips, len(real or ()) // 2)
    if real is None or half < LEAST:
        return {}
    order = sorted(real.clips, key=lambda clip: fingerprint(["sanity", clip.key]))
    plain = ClipSet(real.folder, order[half : 2 * half])
    changed = {name: plain.transformed(name) for name in TRANSFORMS}
    return {REFERENCE: ClipSet(real.folder, order[:half]), "real": plain, **changed}


def has_part(metric: VideoMetric) -> bool:
    """Whether sanity rows are measured by a metric."""
    return not (metric.paired or metric.needs_prompts)


def with_part(metrics: MetricGroup, sets: Mapping[str, ClipSet]) -> MetricGroup:
    """The metrics that measure sanity rows and need no more clips than these have."""
    count = len(sets[REFERENCE]) if sets else 0
    return metrics.only(
        [n for n, one in metrics.metrics.items() if has_part(one) and count >= one.min_clips]
    )


def sanity_of(found: Mapping[str, Mapping[str, dict[str, float]]], num_clips: int) -> Sanity | None:
    """The sanity rows of a report, from scores by metric and row, of ``num_clips`` of each half.

    Distances are from ``REFERENCE``, so the row ``real`` has their values for videos without a
    fault, at this number of clips.
    """
    rows: dict[str, dict[str, float]] = {}
    for of_metric in found.values():
        for row, scores in of_metric.items():
            rows.setdefault(row, {}).update(scores)
    if not rows:
        return None
    meaning = {"real": "as they are: what to compare the others with", **TRANSFORMS}
    return Sanity(num_clips, rows, meaning)
