"""How figures change with the number of clips and with the distance between frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vidiff_eval.clips import ClipSet
from vidiff_eval.extraction import load
from vidiff_eval.failing import Reasons, noting
from vidiff_eval.metrics.base import ClipMetric, SetMetric, VideoMetric
from vidiff_eval.store import Store

if TYPE_CHECKING:
    from torch import Tensor

POINTS = 5
"""Numbers of clips that a distance is taken at."""

CHUNK = 256
"""Clips whose features are held at once."""


def curves(
    metrics: Mapping[str, VideoMetric],
    generated: Mapping[str, ClipSet],
    real: ClipSet | None,
    store: Store,
    failed: Reasons,
) -> list[dict[str, Any]]:
    """Charts of a report: ``title``, axes ``x`` and ``y``, and ``series`` of labelled points.

    ``failed`` is told of those that cannot be made.
    """
    charts = []
    for name, metric in metrics.items():
        with noting(failed, f"the curves of {name}"):
            if isinstance(metric, SetMetric) and metric.has_floor and real is not None:
                charts.append(_against_number(metric, generated, real, store))
            elif isinstance(metric, ClipMetric):
                charts += _against_distance(metric, generated, real, store)
    return [chart for chart in charts if chart["series"]]


def _against_number(
    metric: SetMetric, generated: Mapping[str, ClipSet], real: ClipSet, store: Store
) -> dict[str, Any]:
    """A distance of ever smaller parts of both sides: what it owes to the number of clips.

    Clips are in the order of their contents' hashes, so that the parts are as if drawn at random.
    """
    reference = load(real.by_content, metric.features, store)[metric.output]
    half = len(reference) // 2
    sides = {"real against real": (reference[:half], reference[half:])}
    for name, clips in generated.items():
        sides[name] = (reference, load(clips.by_content, metric.features, store)[metric.output])
    series = [
        {
            "label": name,
            "points": [
                [n, metric.distance(one[:n], other[:n])[metric.figures[0]]]
                for n in _numbers(metric.min_clips, min(len(one), len(other)))
            ],
        }
        for name, (one, other) in sides.items()
    ]
    return {
        "title": f"{metric.figures[0]} against the number of clips",
        "x": "clips of each side",
        "y": metric.figures[0],
        "series": [one for one in series if len(one["points"]) > 1],
    }


def _against_distance(
    metric: ClipMetric, generated: Mapping[str, ClipSet], real: ClipSet | None, store: Store
) -> list[dict[str, Any]]:
    """What a metric finds of frames that are ever further apart, mean over clips."""
    sides = {**({"real": real} if real else {}), **generated}
    lines: dict[str, list[dict[str, Any]]] = {}
    for label, clips in sides.items():
        for name, values in _mean_curves(metric, clips, store).items():
            points = [[k, value] for k, value in enumerate(values.tolist(), start=1)]
            lines.setdefault(name, []).append({"label": label, "points": points})
    return [
        {
            "title": f"{name} against frame distance",
            "x": "frames apart",
            "y": name,
            "series": series,
        }
        for name, series in lines.items()
    ]


def _mean_curves(metric: ClipMetric, clips: ClipSet, store: Store) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for start in range(0, len(clips), CHUNK):
        some = ClipSet(clips.folder, clips.clips[start : start + CHUNK])
        for name, values in metric.curves(load(some, metric.features, store)).items():
            total[name] = total.get(name, 0) + values.double().sum(0)
    return {name: values / len(clips) for name, values in total.items()}


def _numbers(least: int, most: int) -> list[int]:
    """Up to ``POINTS`` numbers, each about half of the next."""
    numbers = [most >> k for k in range(POINTS)]
    return sorted({n for n in numbers if n >= max(least, 4)})
