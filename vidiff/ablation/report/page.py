"""``report.html``: one file that asks nothing of the network, for people new to the code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from vidiff.ablation.report import words
from vidiff.ablation.report.grid import make_grid
from vidiff.ablation.units import duration, large
from vidiff.pages import charts
from vidiff.pages.charts import Chart
from vidiff.pages.environment import make_environment

BAR, MARGIN = 190, 6
"""Width of an interval's drawing, and what is free at its ends, in units of its SVG."""

MAX_LINES = 12
"""Cells whose learning curves are drawn: the baseline and the first others."""

NUM_COLOURS = 12
"""In the shared style."""

AGAINST = {"steps": "step", "FLOPs": "FLOPs", "seconds": "seconds of training steps"}


@dataclass(frozen=True)
class Place:
    """A cell's figure along the drawing that all cells share.

    Attributes:
        dot: of the mean.
        ends: of the interval; None where nothing can be said.
        seeds: of each seed's figure.
    """

    dot: float | None
    ends: tuple[float, float] | None = None
    seeds: list[float] = field(default_factory=list)


def render_html(results: Mapping[str, Any], folder: Path) -> str:
    """An ablation as a self-contained HTML page.

    Args:
        results: of ``vidiff ablate``.
        folder: from where paths of videos are given; those that are missing are not shown.

    Returns:
        The page; all that it shows is escaped.
    """
    environment = make_environment("vidiff", "ablation/report")
    environment.filters.update(
        duration=duration, count=partial(large, digits=3), chance=words.chance
    )
    grid = make_grid(results, folder)
    return environment.get_template("report.html.j2").render(
        results=results,
        words=words,
        bar=BAR,
        places={name: _places(results, name) for name in results["metrics"]},
        curves={against: make_curves(results, against) for against in AGAINST},
        against=AGAINST,
        too_many=len(results["cells"]) > MAX_LINES,
        num_lines=MAX_LINES,
        grid=grid,
        uris=grid.uris,
        colours=colours(results),
    )


def colours(results: Mapping[str, Any]) -> dict[str, str]:
    """One colour for each cell in the whole page; the baseline is grey."""
    others = [cell["name"] for cell in results["cells"] if not cell["is_baseline"]]
    found = {name: f"s{number % NUM_COLOURS}" for number, name in enumerate(others)}
    return found | {results["baseline"]: "real"}


def _places(results: Mapping[str, Any], metric: str) -> dict[str, Place]:
    figures = {
        cell["name"]: figure
        for cell in results["cells"]
        if (figure := cell["figures"].get(metric)) and figure["value"] is not None
    }
    seeds = {
        cell["name"]: [
            run["figures"][metric] for run in cell["runs"] if _is_finite(run["figures"].get(metric))
        ]
        for cell in results["cells"]
    }
    ends = [end for figure in figures.values() for end in figure["interval_95"] or ()]
    ends += [figure["value"] for figure in figures.values()]
    ends += [value for values in seeds.values() for value in values]
    low, high = charts.widen(min(ends), max(ends)) if ends else (0.0, 1.0)

    def place(value: float) -> float:
        return round(MARGIN + (value - low) / (high - low) * (BAR - 2 * MARGIN), 1)

    return {
        name: Place(
            place(figure["value"]),
            tuple(map(place, figure["interval_95"])) if figure["interval_95"] else None,  # type: ignore[arg-type]
            [place(value) for value in seeds[name]],
        )
        for name, figure in figures.items()
    }


def make_curves(results: Mapping[str, Any], against: str) -> list[Chart]:
    """Learning curves, the mean over the seeds of each cell; validation first.

    Args:
        results: of ``vidiff ablate``.
        against: ``steps``, ``FLOPs`` or ``seconds``, what is along the horizontal axis.
    """
    tags: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for cell in results["cells"][:MAX_LINES]:
        scale = {
            "steps": 1.0,
            "FLOPs": cell["costs"]["flops_per_step"],
            "seconds": cell["costs"]["seconds_per_step"],
        }[against]
        if scale is None:
            continue
        for tag, points in _means(cell["runs"]).items():
            tags.setdefault(tag, {})[cell["name"]] = [(x * scale, y) for x, y in points]
    order = sorted(tags, key=lambda tag: (tag.startswith("train/"), "loss" not in tag, tag))
    return [
        charts.make_chart(tag, tags[tag], x=AGAINST[against])
        for tag in order
        if any(len(points) > 1 for points in tags[tag].values())
    ]


def _means(runs: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """By tag, the means of runs at the steps that all of them have."""
    drawn = [run["curves"] for run in runs if run["curves"]]
    found = {}
    for tag in dict.fromkeys(tag for curves in drawn for tag in curves):
        curves = [dict(map(tuple, each[tag])) for each in drawn if tag in each]
        steps = sorted(set.intersection(*(set(curve) for curve in curves)))
        points = [(step, fmean(curve[step] for curve in curves)) for step in steps]
        points = [point for point in points if math.isfinite(point[1])]
        if points:
            found[tag] = points
    return found


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
