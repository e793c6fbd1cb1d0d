"""How a score is spread over clips: outlines of histograms, or dots where clips are few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vidiff.evaluation_report import Group, Report
from vidiff.pages import charts

FEW = 30
"""Clips of each side up to which each one is drawn as a dot."""

REAL = "real clips"
"""Label of the real side."""

MAX_BINS = 30
MAX_CHARTS = 24


@dataclass(frozen=True)
class Spread:
    """The values of one set of clips: an outline, or dots (x, y)."""

    label: str
    num_clips: int
    path: str = ""
    dots: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Distribution:
    """A chart in a box of ``charts.WIDTH`` x ``charts.HEIGHT``; ticks are (place, label)."""

    title: str
    series: list[Spread]
    x_ticks: list[tuple[float, str]]


def make_distributions(report: Report) -> list[Distribution]:
    """A chart of every score that is found of single clips and takes more than two values."""
    sides = {**report.groups, **({REAL: report.real} if report.real else {})}
    made = []
    for name, metric, score in report.infos():
        if not metric.has_rows:
            continue
        values = {label: _values(side, name, score.name) for label, side in sides.items()}
        values = {label: some for label, some in values.items() if some}
        if len({value for some in values.values() for value in some}) > 2:
            made.append(make_distribution(score.name, values))
    return made[:MAX_CHARTS]


def make_distribution(title: str, values: dict[str, list[float]]) -> Distribution:
    """One chart of finite values by label, all on one axis; there is a value at least."""
    low, high = charts.widen(min(map(min, values.values())), max(map(max, values.values())))

    def place(value: float) -> float:
        share = (value - low) / (high - low)
        return round(charts.LEFT + share * (charts.WIDTH - charts.LEFT - charts.RIGHT), 1)

    most = max(map(len, values.values()))
    draw = _dots if most <= FEW else _outlines
    ticks = [(place(tick), f"{tick:.4g}") for tick in charts.ticks(low, high)]
    return Distribution(title, draw(values, place, low, high), ticks)


def _dots(values: dict[str, list[float]], place: Any, low: float, high: float) -> list[Spread]:
    """A lane for each set."""
    lane = (charts.HEIGHT - charts.TOP - charts.BOTTOM) / len(values)
    return [
        Spread(label, len(some), dots=[
            (place(value), round(charts.TOP + lane * (index + 0.5 + 0.36 * _jitter(k)), 1))
            for k, value in enumerate(some)
        ])
        for index, (label, some) in enumerate(values.items())
    ]  # fmt: skip


def _outlines(values: dict[str, list[float]], place: Any, low: float, high: float) -> list[Spread]:
    """Histograms of shares, so that sets of different size can be compared."""
    num_bins = min(MAX_BINS, max(8, math.isqrt(max(map(len, values.values())))))
    shares = {label: _shares(some, low, high, num_bins) for label, some in values.items()}
    tallest = max(max(some) for some in shares.values())
    base = charts.HEIGHT - charts.BOTTOM
    edges = [place(low + (high - low) * k / num_bins) for k in range(num_bins + 1)]

    def path(heights: Sequence[float]) -> str:
        steps = []
        for k, height in enumerate(heights):
            y = round(base - height / tallest * (base - charts.TOP), 1)
            steps.append(f"L{edges[k]} {y}L{edges[k + 1]} {y}")
        return f"M{edges[0]} {base}{''.join(steps)}L{edges[-1]} {base}Z"

    return [Spread(label, len(values[label]), path(some)) for label, some in shares.items()]


def _shares(values: Sequence[float], low: float, high: float, num_bins: int) -> list[float]:
    counts, _ = np.histogram(values, num_bins, (low, high))
    return (counts / len(values)).tolist()


def _jitter(index: int) -> float:
    """In (-1, 1), spread evenly by the golden ratio: dots of a lane do not hide each other."""
    return 2 * (index * 0.6180339887 % 1.0) - 1


def _values(side: Group, metric: str, score: str) -> list[float]:
    found = [video.value(metric, score) for video in side.videos]
    return [value for value in found if value is not None]
