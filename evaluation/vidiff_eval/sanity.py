"""What metrics see: real clips with something done to them, beside real clips as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidiff_eval.clips import ClipSet
from vidiff_eval.extraction import load
from vidiff_eval.failing import noting
from vidiff_eval.metrics.base import ClipMetric, PairMetric, SetMetric, VideoMetric
from vidiff_eval.protocol import fingerprint
from vidiff_eval.store import Store
from vidiff_eval.transforms import TRANSFORMS

LEAST = 2
"""Clips of each half."""


def sanity_sets(real: ClipSet, num_clips: int) -> dict[str, ClipSet]:
    """One half of real clips as they are and with something done to them, and the other half.

    Args:
        real: the clips; their contents decide the halves, whatever the files are called.
        num_clips: of each half at most.

    Returns:
        The other half as ``reference``, and a set for each row; empty if there are too few clips.
    """
    half = min(num_clips, len(real) // 2)
    if half < LEAST:
        return {}
    order = sorted(real.clips, key=lambda clip: fingerprint(["sanity", clip.key]))
    plain = ClipSet(real.folder, order[half : 2 * half])
    changed = {name: plain.transformed(name) for name in TRANSFORMS}
    return {"reference": ClipSet(real.folder, order[:half]), "real": plain, **changed}


def sanity_rows(
    metrics: Mapping[str, VideoMetric],
    sets: Mapping[str, ClipSet],
    store: Store,
    failed: dict[str, str],
) -> dict[str, Any] | None:
    """Every figure of each of the sets.

    Distances are from ``reference``, so the row ``real`` is what they give for videos that lack
    nothing, at this number of clips.

    Args:
        metrics: by name; those that judge pairs, or by prompts, have no part in it.
        sets: as from ``sanity_sets``.
        store: has the features of all.
        failed: is told of metrics that cannot measure so few clips, or fail.

    Returns:
        ``num_clips`` of a half, ``rows`` of figures by name, and each row's ``meaning``; None if
        there is nothing to measure.
    """
    if not sets:
        return None
    reference = sets["reference"]
    rows: dict[str, dict[str, float]] = {row: {} for row in sets if row != "reference"}
    for name, metric in metrics.items():
        if not has_part(metric):
            continue
        if not has_part(metric, sets):
            assert isinstance(metric, SetMetric)
            failed[f"{name} in the sanity rows"] = (
                f"they have {len(reference)} clips of each half, and it needs {metric.min_clips}: "
                f"give {2 * metric.min_clips} real clips or more, or raise --sanity"
            )
            continue
        with noting(failed, f"{name} in the sanity rows"):
            found = {row: _figures(metric, reference, sets[row], store) for row in rows}
            for row, figures in found.items():
                rows[row] |= figures
    if not rows["real"]:
        return None
    return {
        "num_clips": len(reference),
        "rows": rows,
        "meaning": {"real": "as they are: what to compare the others with", **TRANSFORMS},
    }


def has_part(metric: VideoMetric, sets: Mapping[str, ClipSet] | None = None) -> bool:
    """Whether a metric can measure sanity rows; those of ``sets``, if they are large enough."""
    if isinstance(metric, PairMetric) or metric.needs_prompts:
        return False
    if not isinstance(metric, SetMetric):
        return True
    return not metric.paired and (not sets or len(sets["reference"]) >= metric.min_clips)


def _figures(
    metric: VideoMetric, reference: ClipSet, clips: ClipSet, store: Store
) -> dict[str, float]:
    if isinstance(metric, SetMetric):
        sides = (load(side, metric.features, store)[metric.output] for side in (reference, clips))
        return metric.distance(*sides)
    assert isinstance(metric, ClipMetric)
    rows = metric.judge(load(clips, metric.features, store), [""] * len(clips))
    return {f.name: f.value for f in metric.summarise(metric.tally(rows))}
