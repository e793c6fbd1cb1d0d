"""What metrics find of one set of clips, from features that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidiff_eval.clips import Clip, ClipSet
from vidiff_eval.extraction import load, load_chunks
from vidiff_eval.failing import Reasons, noting
from vidiff_eval.figures import Figure
from vidiff_eval.metrics.base import ClipMetric, PairMetric, Row, SetMetric, VideoMetric
from vidiff_eval.pairs import load_pairs, pair
from vidiff_eval.store import Store


def measure(
    metrics: Mapping[str, VideoMetric],
    clips: ClipSet,
    real: ClipSet | None,
    store: Store,
    failed: Reasons,
    whose: str = "",
) -> dict[str, Any]:
    """The ``figures`` of a set by metric, and its ``videos`` with what was found of each.

    Args:
        metrics: by name.
        clips: the set.
        real: what they are compared with; None if no metric does.
        store: has the features of all clips.
        failed: is told of metrics that cannot be measured, which then have no figures.
        whose: the set's name where there are several, for ``failed``.
    """
    figures: dict[str, list[Figure]] = {}
    rows: dict[str, list[Row]] = {}
    for name, metric in metrics.items():
        with noting(failed, f"{name} of {whose}" if whose else name):
            if isinstance(metric, SetMetric):
                assert real is not None
                figures[name] = metric.compare(*_sides(metric, real, clips, store))
                continue
            if isinstance(metric, PairMetric):
                assert real is not None
                found = load_pairs(metric, real, clips, store)
            else:
                assert isinstance(metric, ClipMetric)
                found = _judge(metric, clips, store)
            figures[name] = metric.summarise(metric.tally(found))
            rows[name] = found
    return {
        "figures": {name: [figure.record for figure in some] for name, some in figures.items()},
        "videos": [
            _video(clip, index, {name: some[index] for name, some in rows.items()})
            for index, clip in enumerate(clips.clips)
        ],
    }


def measure_real(
    metrics: Mapping[str, VideoMetric], real: ClipSet, store: Store, failed: Reasons
) -> dict[str, Any]:
    """What the metrics that judge clips by themselves find of real ones: a line to compare with."""
    captioned = all(clip.video.prompt for clip in real.clips)
    usable = {
        name: metric
        for name, metric in metrics.items()
        if isinstance(metric, ClipMetric)
        and (captioned or not metric.needs_prompts)
        and _can_judge(metric, real)
    }
    return measure(usable, real, None, store, failed, "the real clips")


def _sides(metric: SetMetric, real: ClipSet, clips: ClipSet, store: Store) -> list[Any]:
    """The features of real clips and of generated ones; in one order where they are paired.

    Else in the order of their contents, as some distances draw parts of the sets.
    """
    sides = [real.by_content, clips.by_content]
    if metric.paired:
        both = pair(real, clips)
        sides = [[theirs for _, theirs in both], [ours for ours, _ in both]]
    return [load(side, metric.features, store)[metric.output] for side in sides]


def _judge(metric: ClipMetric, clips: ClipSet, store: Store) -> list[Row]:
    rows: list[Row] = []
    for some, found in load_chunks(clips, metric.features, store):
        rows += metric.judge(found, [clip.video.prompt for clip in some])
    return rows


def _can_judge(metric: ClipMetric, clips: ClipSet) -> bool:
    try:
        metric.check_prompts([clip.video.prompt for clip in clips.clips])
    except ValueError:
        return False
    return True


def _video(clip: Clip, index: int, found: dict[str, Row]) -> dict[str, Any]:
    return {
        "id": clip.id,
        "file": clip.video.file,
        "index": index,
        "prompt": clip.video.prompt,
        "seed": clip.video.seed,
        "sha256": clip.video.sha256,
        "start": round(clip.start, 6),
        "found": found,
    }
