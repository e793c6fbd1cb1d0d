"""``report.html``: one file that asks nothing of the network, for people new to the code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vidiff.ablation.report import phrases
from vidiff.ablation.report.choosing import shown_cells
from vidiff.ablation.report.curves import AGAINST, MAX_LINES, make_curves
from vidiff.ablation.report.grid import make_grid
from vidiff.pages import charts
from vidiff.pages.environment import make_environment
from vidiff.units import duration, large

BAR, MARGIN = 190, 6
"""Width of an interval's drawing, and what is free at its ends, in units of its SVG."""

NUM_COLOURS = 12
"""In the shared style."""

MAX_SENTENCES = 12
"""Answers of one metric that are shown at once."""


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


@dataclass(frozen=True)
class Axis:
    """What all drawings of a metric reach from and to, and what is on them, by cell."""

    low: float
    high: float
    places: dict[str, Place]


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
        duration=duration, count=partial(large, digits=3), chance=phrases.chance
    )
    grid = make_grid(results, folder)
    return environment.get_template("report.html.j2").render(
        results=results,
        phrases=phrases,
        bar=BAR,
        axes={name: _axis(results, name) for name in results["metrics"]},
        curves={against: make_curves(results, against) for against in AGAINST},
        against=AGAINST,
        too_many=len(results["cells"]) > MAX_LINES,
        num_lines=MAX_LINES,
        num_sentences=MAX_SENTENCES,
        grid=grid,
        uris=grid.uris,
        colours=colours(results),
    )


def colours(results: Mapping[str, Any]) -> dict[str, str]:
    """One colour for each cell in the whole page; the baseline is grey.

    Of more cells than colours, those whose curves are drawn have one for themselves.
    """
    drawn = [cell["name"] for cell in shown_cells(results, MAX_LINES) if not cell["is_baseline"]]
    names = dict.fromkeys([*drawn, *(cell["name"] for cell in results["cells"])])
    names.pop(results["baseline"], None)
    found = {name: f"s{number % NUM_COLOURS}" for number, name in enumerate(names)}
    return found | {results["baseline"]: "real"}


def _axis(results: Mapping[str, Any], metric: str) -> Axis:
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

    places = {
        name: Place(
            place(figure["value"]),
            tuple(map(place, figure["interval_95"])) if figure["interval_95"] else None,  # type: ignore[arg-type]
            [place(value) for value in seeds[name]],
        )
        for name, figure in figures.items()
    }
    return Axis(low, high, places)


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
