"""Differences between two evaluation reports, their intervals and verdicts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vidiff.evaluation_report import Group, Interval, MetricInfo, Report, Score, Video

FORMAT = "vidiff comparison 2"


@dataclass(frozen=True)
class Change:
    """A score of two groups."""

    metric: str  # that reports the score
    score: str  # its name
    higher_is_better: bool | None  # None where neither is
    a: float | None  # value of the first group; None where it is not known
    b: float | None  # of the second
    difference: float | None  # ``b - a``
    interval: Interval | None  # of the difference, at 95 %; None where nothing can be said
    method: str  # how the interval was found
    noise_floor: float | None  # what 95 % of comparisons of real clips with real ones stay below
    verdict: str  # what may be said of the difference, see ``verdict``


@dataclass(frozen=True)
class Comparison:
    """Two groups of clips, score by score."""

    groups: list[str]  # their names
    num_clips: list[int]  # of each
    scores: list[Change]  # of all metrics that were compared
    only_in: dict[str, list[str]]  # metrics that only report ``a`` or ``b`` has
    notes: list[str]  # what else differs


class Incomparable(ValueError):
    """Scores were computed from different things, so a difference would mislead.

    ``differing`` has by metric the fields that differ: dotted name to the values of both sides.
    """

    def __init__(self, differing: dict[str, dict[str, tuple[Any, Any]]]) -> None:
        self.differing = differing
        fields = dict.fromkeys(name for found in differing.values() for name in found)
        super().__init__(
            f"not comparable: {', '.join(differing)} differ in {', '.join(fields)}; evaluate both "
            "in one way, or compare other metrics by --metrics"
        )


def compare(
    a: Report, b: Report, *, groups: tuple[str, str], metrics: Sequence[str] | None = None
) -> Comparison:
    """Compare a group of one report with a group of another, or of the same; differences are b - a.

    Args:
        a: the report to compare with.
        b: the report that is compared.
        groups: names of the groups of ``a`` and of ``b``.
        metrics: names; by default all that both reports have.

    Raises:
        Incomparable: if a metric was computed in another way, from another real set or from another
            number of clips.
        ValueError: if a group or a metric is missing.
    """
    sides = [_group(report, name) for report, name in zip((a, b), groups, strict=True)]
    one, other = (side.scores for side in sides)
    both = [name for name in one if name in other]
    for name in metrics or ():
        if name not in both:
            lacking = {"first": one, "second": other}
            where = " and the ".join(word for word, has in lacking.items() if name not in has)
            raise ValueError(
                f"the {where} report has no {name}; both have: {', '.join(both) or 'none'}"
            )
    chosen = [name for name in both if metrics is None or name in metrics]
    if not chosen:
        raise ValueError(f"the reports share no metric: {', '.join(one)} and {', '.join(other)}")
    differing = {name: differences(*(side.compared[name] for side in sides)) for name in chosen}
    if unlike := {name: fields for name, fields in differing.items() if fields}:
        raise Incomparable(unlike)
    return Comparison(
        groups=list(groups),
        num_clips=[side.num_clips for side in sides],
        scores=[change for name in chosen for change in _changes(name, b.metrics[name], *sides)],
        only_in={"a": [n for n in one if n not in both], "b": [n for n in other if n not in both]},
        notes=_notes(a, b, sides),
    )


def differences(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    """Where nested plain values differ: dotted names, with both values; None where one lacks it."""
    one, other = dict(_leaves(a)), dict(_leaves(b))
    names = [*one, *(name for name in other if name not in one)]
    return {name: (one.get(name), other.get(name)) for name in names
            if name not in one or name not in other or one[name] != other[name]}  # fmt: skip


def difference_interval(
    a: float, b: float, a_interval: Interval | None, b_interval: Interval | None
) -> Interval | None:
    """The 95 % interval of ``b - a`` of independent scores, from theirs; they may be lopsided.

    Each half width of the difference is the root of two squared half widths (Zou and Donner 2008,
    equation 3). Distances from one real set share that set's chance, so theirs is rather too wide.
    """
    if a_interval is None or b_interval is None:
        return None
    low = math.hypot(b - b_interval[0], a_interval[1] - a)
    high = math.hypot(b_interval[1] - b, a - a_interval[0])
    return b - a - low, b - a + high


def paired_interval(a: Sequence[float], b: Sequence[float]) -> Interval:
    """Student's 95 % interval of the mean of ``b - a``, value by value: two of each or more."""
    from scipy.stats import t

    changes = [y - x for x, y in zip(a, b, strict=True)]
    n, mean = len(changes), math.fsum(changes) / len(changes)
    variance = math.fsum((change - mean) ** 2 for change in changes) / (n - 1)
    half = float(t.ppf(0.975, n - 1)) * math.sqrt(variance / n)
    return mean - half, mean + half


def verdict(
    difference: float | None,
    interval: Interval | None,
    *,
    floor: float | None = None,
    higher_is_better: bool | None = None,
) -> str:
    """The verdict on ``b - a``, from its 95 % interval.

    One of ``not measured``, ``below the noise floor`` (of real clips against real ones: no smaller
    difference counts), ``cannot tell``, ``better``, ``worse``, and where neither way is better
    ``higher`` or ``lower``, of ``b``.
    """
    if difference is None:
        return "not measured"
    if floor is not None and abs(difference) <= floor:
        return "below the noise floor"
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "cannot tell"
    if higher_is_better is None:
        return "higher" if difference > 0 else "lower"
    return "better" if (difference > 0) == higher_is_better else "worse"


def choose_groups(a: Report, b: Report, word: str = "") -> list[tuple[str, str]]:
    """Which groups to compare: of ``NAME`` or ``A=B``, else the only ones, else those of one name.

    Raises:
        ValueError: if that is not clear.
    """
    if word:
        first, equals, second = word.partition("=")
        return [(first, second if equals else first)]
    names = list(a.groups), list(b.groups)
    if len(names[0]) == len(names[1]) == 1:
        return [(names[0][0], names[1][0])]
    if shared := [name for name in names[0] if name in names[1]]:
        return [(name, name) for name in shared]
    raise ValueError(
        f"which groups? The first report has {', '.join(names[0])}, the second "
        f"{', '.join(names[1])}: give --group A=B"
    )


def _group(report: Report, name: str) -> Group:
    if name not in report.groups:
        raise ValueError(
            f"there is no group {name!r} in a report that has {', '.join(report.groups)}"
        )
    return report.groups[name]


def _changes(name: str, metric: MetricInfo, a: Group, b: Group) -> Iterator[Change]:
    """The scores of a metric that both groups have."""
    others = {score.name: score for score in b.scores[name]}
    for one in a.scores[name]:
        if one.name not in others:
            continue
        other, higher = others[one.name], metric.is_higher_better(one.name)
        floor = metric.floor_of(one.name)
        difference, interval, method = _difference(name, one, other, a.videos, b.videos)
        yield Change(
            metric=name,
            score=one.name,
            higher_is_better=higher,
            a=one.value if one.is_known else None,
            b=other.value if other.is_known else None,
            difference=difference,
            interval=interval,
            method=method,
            noise_floor=floor,
            verdict=verdict(difference, interval, floor=floor, higher_is_better=higher),
        )


def _difference(
    metric: str, one: Score, other: Score, a: Sequence[Video], b: Sequence[Video]
) -> tuple[float | None, Interval | None, str]:
    if not (one.is_known and other.is_known):
        return None, None, ""
    difference = other.value - one.value
    if values := _pairs(metric, one.name, a, b):
        low, high = paired_interval(*values)
        # Only of means is the difference the mean of differences.
        if math.isclose((low + high) / 2, difference, rel_tol=1e-6, abs_tol=1e-9):
            return difference, (low, high), f"paired by clip, {len(values[0])} pairs"
    interval = difference_interval(one.value, other.value, one.interval, other.interval)
    return difference, interval, "independent sets" if interval else ""


def _pairs(
    metric: str, score: str, a: Sequence[Video], b: Sequence[Video]
) -> tuple[list[float], list[float]] | None:
    """The score of each clip on both sides, where both have the same clips and two or more."""
    for with_id in (True, False):
        sides = [_by_key(metric, score, videos, with_id) for videos in (a, b)]
        if sides[0] and sides[0].keys() == sides[1].keys() and len(sides[0]) > 1:
            return list(sides[0].values()), [sides[1][key] for key in sides[0]]
    return None


def _by_key(
    metric: str, score: str, videos: Sequence[Video], with_id: bool
) -> dict[tuple[Any, ...], float]:
    """Values by what tells clips apart; nothing if that does not, or a value is missing."""
    ending = r"\.[^./#]*(?=#|$)"  # not of ``a/b.mp4#1``, which may be an .avi elsewhere
    ids = [re.sub(ending, "", video.id) if with_id else "" for video in videos]
    keys = [(name, video.prompt, video.seed) for name, video in zip(ids, videos, strict=True)]
    values = [video.value(metric, score) for video in videos]
    if max(Counter(keys).values(), default=0) > 1:
        return {}
    known = {key: one for key, one in zip(keys, values, strict=True) if one is not None}
    return known if len(known) == len(videos) else {}


def _notes(a: Report, b: Report, sides: Sequence[Group]) -> list[str]:
    changed = differences(a.versions, b.versions)
    notes = [f"{name} differs: {one} and {other}" for name, (one, other) in changed.items()]
    if sides[0].sha256 == sides[1].sha256:
        notes.append("both are of the very same clips")
    return notes


def _leaves(data: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(data, dict) or not data:
        yield name, data
        return
    for key, value in data.items():
        yield from _leaves(value, f"{name}.{key}" if name else str(key))
