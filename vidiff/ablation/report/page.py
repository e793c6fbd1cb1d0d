"""``report.html``: one file that asks nothing of the network, for people new to the code."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from vidiff.ablation.judge.schema import Results
from vidiff.ablation.report import phrases
from vidiff.ablation.report.curves import AGAINST, MAX_LINES, make_curves
from vidiff.ablation.report.grid import make_grid
from vidiff.pages import charts
from vidiff.pages.environment import make_environment
from vidiff.schema import plain
from vidiff.units import duration, large

BAR, MARGIN = 190, 6
"""Width of an interval's drawing, and what is free at its ends, in units of its SVG."""

NUM_COLOURS = 12
"""In the shared style."""

MAX_SENTENCES = 12
"""Answers of one metric that are shown at once."""


@dataclass(frozen=True)
class Place:
    """Where a cell's mean, the ends of its interval if it has one, and its seeds are drawn."""

    dot: float
    ends: list[float] = field(default_factory=list)
    seeds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Axis:
    """What all drawings of a metric reach from and to, and what is on them, by cell."""

    low: float
    high: float
    places: dict[str, Place]


def render_html(results: Results, folder: Path) -> str:
    """An ablation as a self-contained HTML page, in which all text is escaped.

    Args:
        results: to show.
        folder: from where paths of videos are given; those that are missing are not shown.
    """
    environment = make_environment("vidiff", "ablation/report")
    environment.filters.update(
        duration=duration, count=partial(large, digits=3), chance=phrases.chance
    )
    grid = make_grid(results, folder)
    return environment.get_template("report.html.j2").render(
        results=results,
        phrases=phrases,
        bar=BAR,
        axes={name: _axis(results, name) for name in results.metrics},
        curves={against: make_curves(results, against) for against in AGAINST},
        against=AGAINST,
        too_many=len(results.cells) > MAX_LINES,
        num_lines=MAX_LINES,
        num_sentences=MAX_SENTENCES,
        grid=grid,
        uris=grid.uris,
        colours=colours(results),
        settings={
            name: plain(getattr(results, name))
            for name in ("file", "match", "budget", "provenance")
        },
    )


def colours(results: Results) -> dict[str, str]:
    """One colour for each cell in the whole page; the baseline is grey.

    Of more cells than colours, those whose curves are drawn have one for themselves.
    """
    drawn = [cell.name for cell in results.best_cells(MAX_LINES) if not cell.is_baseline]
    names = dict.fromkeys([*drawn, *(cell.name for cell in results.cells)])
    names.pop(results.baseline, None)
    found = {name: f"s{number % NUM_COLOURS}" for number, name in enumerate(names)}
    return found | {results.baseline: "real"}


def _axis(results: Results, metric: str) -> Axis:
    scores = {
        cell.name: score
        for cell in results.cells
        if (score := cell.scores.get(metric)) and math.isfinite(score.value)
    }
    seeds = {
        cell.name: [
            run.scores[metric]
            for run in cell.runs
            if math.isfinite(run.scores.get(metric, math.nan))
        ]
        for cell in results.cells
    }
    ends = [end for score in scores.values() for end in (score.value, *(score.interval or ()))]
    ends += [value for values in seeds.values() for value in values]
    low, high = charts.widen(min(ends), max(ends)) if ends else (0.0, 1.0)

    def place(value: float) -> float:
        return round(MARGIN + (value - low) / (high - low) * (BAR - 2 * MARGIN), 1)

    places = {
        name: Place(
            place(score.value),
            [place(end) for end in score.interval or ()],
            [place(value) for value in seeds[name]],
        )
        for name, score in scores.items()
    }
    return Axis(low, high, places)
