"""Line charts as the numbers that an SVG template needs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidiff.pages.runs import Curve


Points = Sequence[tuple[float, float]]  # (x, y) pairs; a ``Curve`` is one

WIDTH, HEIGHT = 340, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 24
MAX_POINTS = 160
MAX_CHARTS = 12
MAX_DOTS = 16
STAGES = ("train", "val", "test")


@dataclass(frozen=True)
class Series:
    """A line: its label and last value, and places: corners, dots where they are few, a band."""

    label: str
    corners: list[tuple[float, float]]
    last: float
    dots: list[tuple[float, float]] = field(default_factory=list)
    edge: list[tuple[float, float]] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The line as an SVG path."""
        return _path(self.corners)

    @property
    def band(self) -> str:
        """The outline of what is shaded, as an SVG path; empty if nothing is."""
        return _path(self.edge) + "Z" if self.edge else ""


@dataclass(frozen=True)
class Chart:
    """A chart in a box of ``WIDTH`` x ``HEIGHT``; ticks are (place, label)."""

    title: str
    series: list[Series]
    x: str = "step"
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)


def make_charts(curves: dict[str, Curve]) -> list[Chart]:
    """Charts of what a run logged as ``train/…``, ``val/…`` or ``test/…``, losses first.

    The stages of one quantity share a chart, and so do its parts (``loss_t0-25``, ``loss_t25-50``).
    """
    groups: dict[str, dict[str, Curve]] = {}
    for tag in sorted(curves, key=_tag_order):
        stage, _, name = tag.partition("/")
        finite = [(step, value) for step, value in curves[tag] if math.isfinite(value)]
        if stage in STAGES and len(finite) > 1:
            whole = re.sub(r"_[a-z]?\d[\d.-]*$", "", name)
            title = name if whole == name else f"{whole}, by part"
            groups.setdefault(title, {})[tag] = finite
    titles = sorted(groups, key=lambda title: "loss" not in title)
    return [make_chart(title, groups[title]) for title in titles[:MAX_CHARTS]]


def make_chart(
    title: str,
    curves: Mapping[str, Points],
    *,
    x: str = "step",
    bands: Mapping[str, tuple[Points, Points]] | None = None,
) -> Chart:
    """One chart; its vertical axis is logarithmic where values are positive and span a decade.

    Curves have a finite point at least; ``bands`` are the edges of what is shaded round them.
    """
    thinned = {tag: _thin(curve) for tag, curve in curves.items()}
    edges = {tag: (_thin(low), _thin(high)) for tag, (low, high) in (bands or {}).items()}
    drawn = [*thinned.values(), *(edge for both in edges.values() for edge in both)]
    steps = [step for curve in drawn for step, _ in curve]
    values = [value for curve in drawn for _, value in curve]
    logarithmic = min(values) > 0 and max(values) / min(values) > 10
    x_low, x_high = widen(min(steps), max(steps))
    y_of = math.log10 if logarithmic else float
    y_low, y_high = widen(y_of(min(values)), y_of(max(values)))

    def place(step: float, height: float) -> tuple[float, float]:
        x = LEFT + (step - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (height - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    def places(curve: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [place(step, y_of(value)) for step, value in curve]

    series = []
    for tag, curve in thinned.items():
        corners = places(curve)
        dots = corners if len(curve) <= MAX_DOTS else []
        low, high = edges.get(tag, ([], []))
        edge = places([*low, *reversed(high)])
        series.append(Series(tag, corners, curves[tag][-1][1], dots, edge))
    x_ticks = [(place(step, y_low)[0], _count(step)) for step in ticks(x_low, x_high)]
    y_ticks = []
    for height in _log_ticks(y_low, y_high) if logarithmic else ticks(y_low, y_high):
        label = _count(float(f"{10**height if logarithmic else height:.3g}"))
        y_ticks.append((place(x_low, height)[1], label))
    return Chart(title, series, x, x_ticks, y_ticks)


def _path(corners: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in corners)


def _tag_order(tag: str) -> tuple[int, str, float]:
    stage, _, name = tag.partition("/")
    number = re.search(r"\d+", name)
    order = STAGES.index(stage) if stage in STAGES else len(STAGES)
    return order, re.sub(r"\d.*", "", name), float(number[0]) if number else -1.0


def _thin(curve: Points) -> list[tuple[float, float]]:
    """At most ``MAX_POINTS`` points, each the mean of a stretch of the curve."""
    size = math.ceil(len(curve) / MAX_POINTS)
    chunks = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [(fmean(s for s, _ in chunk), fmean(v for _, v in chunk)) for chunk in chunks]


def widen(low: float, high: float) -> tuple[float, float]:
    """A range that is not empty."""
    if low < high:
        return low, high
    margin = abs(low) / 10 or 1.0
    return low - margin, high + margin


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``."""
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Logarithms of 1, 2 and 5 times powers of ten; of the powers alone where those are many."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    nice = (1, 2, 5) if high - low < 2.2 else (1,)
    ticks = [decade + math.log10(k) for decade in decades for k in nice]
    return [tick for tick in ticks if low <= tick <= high]


def _count(number: float) -> str:
    for power, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= power:
            return f"{number / power:g}{letter}"
    return f"{number:g}"
