"""``report.html``: one file that asks nothing of the network, for people new to the code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean

from vidiff.ablation.judge.schema import Results, RunResult
from vidiff.ablation.report import phrases
from vidiff.ablation.report.grid import make_grid
from vidiff.formatting import duration, large
from vidiff.pages import charts
from vidiff.pages.environment import make_environment
from vidiff.schema import plain

BAR, MARGIN = 190, 6
"""Width of an interval's drawing, and what is free at its ends, in units of its SVG."""

NUM_COLOURS = 12
"""In the shared style."""

MAX_SENTENCES = 12
"""Answers of one metric that are shown at once."""

SETTINGS = ("file", "match", "budget", "provenance")

MAX_LINES = 12
"""Cells whose curves are drawn."""

AGAINST = {"steps": "step", "FLOPs": "FLOPs", "seconds": "seconds of training steps"}
"""What may be along the horizontal axis, and what to write there."""

Rows = list[tuple[float, list[float]]]
"""(step, the values of all seeds there) in order."""


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
    """The results as a self-contained HTML page; paths of videos are from ``folder``."""
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
        uris={key: media.uri for key, media in grid.media.items()},
        colours=colours(results),
        settings={name: plain(getattr(results, name)) for name in SETTINGS},
    )


def colours(results: Results) -> dict[str, str]:
    """A colour for each cell, first for those whose curves are drawn; the baseline is grey."""
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
        cell.name: [s for run in cell.runs if math.isfinite(s := run.scores.get(metric, math.nan))]
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


def make_curves(results: Results, against: str) -> list[charts.Chart]:
    """A chart of each quantity that was logged, validation first: a line for each cell.

    Lines are means over seeds, shaded from the lowest to the highest.
    """
    tags: dict[str, dict[str, Rows]] = {}
    for cell in results.best_cells(MAX_LINES):
        costs = cell.costs
        scales = {"steps": 1.0, "FLOPs": costs.flops_per_step, "seconds": costs.seconds_per_step}
        scale = scales[against]
        if scale is None:
            continue
        for tag, rows in _over_seeds(cell.runs).items():
            tags.setdefault(tag, {})[cell.name] = [(x * scale, values) for x, values in rows]
    order = sorted(tags, key=lambda tag: (tag.startswith("train/"), "loss" not in tag, tag))
    return [
        _chart(tag, tags[tag], AGAINST[against])
        for tag in order
        if any(len(rows) > 1 for rows in tags[tag].values())
    ]


def _chart(tag: str, cells: Mapping[str, Rows], x: str) -> charts.Chart:
    return charts.make_chart(
        tag,
        {name: [(place, fmean(values)) for place, values in rows] for name, rows in cells.items()},
        x=x,
        bands={
            name: (
                [(place, min(values)) for place, values in rows],
                [(place, max(values)) for place, values in rows],
            )
            for name, rows in cells.items()
            if len(rows) > 1 and len(rows[0][1]) > 1
        },
    )


def _over_seeds(runs: Sequence[RunResult]) -> dict[str, Rows]:
    """By tag, the values of runs at the steps that all of them have, where all are finite."""
    found: dict[str, Rows] = {}
    for tag in dict.fromkeys(tag for run in runs for tag in run.curves):
        curves = [dict(run.curves[tag]) for run in runs if tag in run.curves]
        steps = sorted(set.intersection(*map(set, curves)))
        rows: Rows = [(step, [curve[step] for curve in curves]) for step in steps]
        if rows := [row for row in rows if all(map(math.isfinite, row[1]))]:
            found[tag] = rows
    return found
