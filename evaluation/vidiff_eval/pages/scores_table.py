"""The table of an evaluation's scores: values, intervals, and which group is best, if any."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from vidiff.evaluation_report import Group, MetricInfo, NoiseFloor, Report, Score
from vidiff_eval.judging.compare import difference_interval, verdict

BAR = 150
"""Width of an interval's drawing, in units of its SVG."""

MARGIN = 6
"""Free at either end of a drawing, in the same units."""


@dataclass(frozen=True)
class Cell:
    """A score of a group; places are along the drawing that all cells of a line share."""

    value: float | None  # the score; None where it is not known
    interval: tuple[float, float] | None = None  # at 95 %; None where nothing can be said
    method: str = ""  # how the interval was found
    dot: float | None = None  # place of the value
    ends: tuple[float, float] | None = None  # places of the interval's ends
    is_best: bool = False  # whether it is surely better than those of all other groups
    detail: dict[str, Any] = field(default_factory=dict)  # what else the score says


@dataclass(frozen=True)
class Line:
    """A score of all groups."""

    score: str  # its name
    arrow: str  # which way is better; empty where neither is
    cells: dict[str, Cell]  # by group
    real: Cell | None  # of the real clips, where it was measured
    floor: NoiseFloor | None  # the noise floor
    floor_place: float | None  # place of what 95 % of real-against-real comparisons stay below
    said: str  # what the groups' differences amount to, in words


def make_lines(report: Report) -> dict[str, list[Line]]:
    """The lines of each metric."""
    return {name: _lines(report, name) for name in report.metrics}


def _lines(report: Report, name: str) -> list[Line]:
    metric = report.metrics[name]
    groups = {group: _by_name(side, name) for group, side in report.groups.items()}
    real = _by_name(report.real, name) if report.real else {}
    names = dict.fromkeys([*metric.names, *(n for found in groups.values() for n in found)])
    return [
        _line(n, {group: found.get(n) for group, found in groups.items()}, real.get(n), metric)
        for n in names
    ]


def _by_name(side: Group, metric: str) -> dict[str, Score]:
    return {score.name: score for score in side.scores.get(metric, [])}


def _line(
    name: str, groups: dict[str, Score | None], real: Score | None, metric: MetricInfo
) -> Line:
    higher, limit = metric.is_higher_better(name), metric.floor_of(name)
    known = [score for score in (*groups.values(), real) if score]
    ends = [end for score in known for end in score.interval or ()]
    ends += [score.value for score in known if score.is_known]
    if limit is not None:
        ends += [0.0, limit]  # a floor is drawn from nothing upwards
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    best, said = _best(groups, higher, limit)

    def place(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(MARGIN + share * (BAR - 2 * MARGIN), 1)

    def cell(score: Score | None, is_best: bool = False) -> Cell:
        if score is None or not score.is_known:
            return Cell(None)
        interval = score.interval
        ends = (place(interval[0]), place(interval[1])) if interval else None
        dot = place(score.value)
        return Cell(score.value, interval, score.method, dot, ends, is_best, score.detail)

    return Line(
        score=name,
        arrow={True: "↑", False: "↓", None: ""}[higher],
        cells={group: cell(score, group == best) for group, score in groups.items()},
        real=cell(real) if real else None,
        floor=metric.noise_floor if limit is not None else None,
        floor_place=place(limit) if limit is not None else None,
        said=said,
    )


def _best(
    groups: dict[str, Score | None], higher: bool | None, floor: float | None
) -> tuple[str, str]:
    """The group that is surely better than every other, if there is one, and what to say."""
    known = {name: score for name, score in groups.items() if score and score.is_known}
    if len(known) < 2 or higher is None:
        return "", ""
    order = sorted(known, key=lambda name: known[name].value, reverse=higher)
    first = order[0]
    if all(_is_better(known[first], known[name], higher, floor) for name in order[1:]):
        return first, f"{first} is best"
    if floor is not None and all(
        abs(a.value - b.value) <= floor for a, b in combinations(known.values(), 2)
    ):
        return "", "differences are below the noise floor"
    return "", "cannot tell which is best"


def _is_better(one: Score, other: Score, higher: bool, floor: float | None) -> bool:
    """Whether the intervals do not overlap and the difference counts."""
    ours, theirs = one.interval, other.interval
    if ours is None or theirs is None:
        return False
    apart = ours[0] > theirs[1] or theirs[0] > ours[1]
    interval = difference_interval(other.value, one.value, theirs, ours)
    said = verdict(one.value - other.value, interval, floor=floor, higher_is_better=higher)
    return apart and said == "better"
