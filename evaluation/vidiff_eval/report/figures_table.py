"""The table of an evaluation's figures: values, intervals, and which group is best, if any."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from vidiff_eval.comparison import difference_interval, noise_floor, verdict

BAR = 150
"""Width of an interval's drawing, in units of its SVG."""

MARGIN = 6
"""Free at either end of a drawing, in the same units."""


@dataclass(frozen=True)
class Cell:
    """A figure of a group; places are along the drawing that all cells of a line share.

    Attributes:
        value: the figure; None where it is not known.
        interval: at 95 %; None where nothing can be said.
        method: how the interval was found.
        dot: place of the value.
        ends: places of the interval's ends.
        is_best: whether it is surely better than those of all other groups.
        detail: what else the figure says.
    """

    value: float | None
    interval: tuple[float, float] | None = None
    method: str = ""
    dot: float | None = None
    ends: tuple[float, float] | None = None
    is_best: bool = False
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A figure of all groups.

    Attributes:
        figure: its name.
        arrow: which way is better; empty where neither is.
        cells: by group.
        real: of the real clips, where it was measured.
        floor: the noise floor's record.
        floor_place: place of what 95 % of real-against-real comparisons stay below.
        said: what the groups' differences amount to, in words.
    """

    figure: str
    arrow: str
    cells: dict[str, Cell]
    real: Cell | None
    floor: dict[str, Any] | None
    floor_place: float | None
    said: str


def make_lines(report: dict[str, Any]) -> dict[str, list[Line]]:
    """The lines of each metric."""
    return {name: _lines(report, name) for name in report["metrics"]}


def _lines(report: dict[str, Any], name: str) -> list[Line]:
    metric = report["metrics"][name]
    groups = {
        group: {figure["name"]: figure for figure in found["figures"].get(name, [])}
        for group, found in report["groups"].items()
    }
    of_real = (report["real"] or {}).get("figures", {}).get(name, [])
    real = {figure["name"]: figure for figure in of_real}
    names = dict.fromkeys([*metric["figures"], *(n for found in groups.values() for n in found)])
    return [
        _line(
            figure,
            {group: found.get(figure) for group, found in groups.items()},
            real.get(figure),
            metric if figure == metric["figures"][0] else {},
        )
        for figure in names
    ]


def _line(
    name: str,
    groups: dict[str, dict[str, Any] | None],
    real: dict[str, Any] | None,
    metric: dict[str, Any],
) -> Line:
    """A line of a figure; ``metric`` is empty unless the figure is its main one."""
    higher = metric.get("higher_is_better")
    limit = noise_floor(metric)
    shown = [_extent(figure) for figure in (*groups.values(), real) if figure]
    ends = [end for extent in shown for end in extent]
    if limit is not None:
        ends += [0.0, limit]  # a floor is drawn from nothing upwards
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    best, said = _best(groups, higher, limit)

    def place(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(MARGIN + share * (BAR - 2 * MARGIN), 1)

    def cell(figure: dict[str, Any] | None, is_best: bool = False) -> Cell:
        if figure is None or figure["value"] is None:
            return Cell(None)
        interval = _interval(figure)
        return Cell(
            value=figure["value"],
            interval=interval,
            method=figure.get("method", ""),
            dot=place(figure["value"]),
            ends=(place(interval[0]), place(interval[1])) if interval else None,
            is_best=is_best,
            detail={k: v for k, v in figure.items()
                    if k not in ("name", "value", "interval_95", "method")},
        )  # fmt: skip

    return Line(
        figure=name,
        arrow={True: "↑", False: "↓", None: ""}[higher],
        cells={group: cell(figure, group == best) for group, figure in groups.items()},
        real=cell(real) if real else None,
        floor=metric.get("noise_floor"),
        floor_place=place(limit) if limit is not None else None,
        said=said,
    )


def _best(
    groups: dict[str, dict[str, Any] | None], higher: bool | None, floor: float | None
) -> tuple[str, str]:
    """The group that is surely better than every other, if there is one, and what to say."""
    known = {name: f for name, f in groups.items() if f and f["value"] is not None}
    if len(known) < 2:
        return "", ""
    if higher is None:
        return "", ""
    order = sorted(known, key=lambda name: known[name]["value"], reverse=higher)
    first = order[0]
    if all(_is_better(known[first], known[name], higher, floor) for name in order[1:]):
        return first, f"{first} is best"
    if floor is not None and all(
        abs(a["value"] - b["value"]) <= floor for a, b in combinations(known.values(), 2)
    ):
        return "", "differences are below the noise floor"
    return "", "cannot tell which is best"


def _is_better(
    one: dict[str, Any], other: dict[str, Any], higher: bool, floor: float | None
) -> bool:
    """Whether the intervals do not overlap and the difference counts."""
    ours, theirs = _interval(one), _interval(other)
    if ours is None or theirs is None:
        return False
    apart = ours[0] > theirs[1] or theirs[0] > ours[1]
    interval = difference_interval(other["value"], one["value"], theirs, ours)
    difference = one["value"] - other["value"]
    said = verdict(difference, interval, floor=floor, higher_is_better=higher)
    return apart and said == "better"


def _interval(figure: dict[str, Any]) -> tuple[float, float] | None:
    return tuple(figure["interval_95"]) if figure.get("interval_95") else None


def _extent(figure: dict[str, Any]) -> list[float]:
    value = [] if figure["value"] is None else [figure["value"]]
    return [*value, *(figure.get("interval_95") or [])]
