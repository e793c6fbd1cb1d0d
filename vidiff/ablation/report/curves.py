"""Learning curves of cells: means over their seeds, shaded from the lowest to the highest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from vidiff.ablation.judge.schema import Results, RunResult
from vidiff.pages import charts
from vidiff.pages.charts import Chart

MAX_LINES = 12
"""Cells whose curves are drawn."""

AGAINST = {"steps": "step", "FLOPs": "FLOPs", "seconds": "seconds of training steps"}
"""What may be along the horizontal axis, and what to write there."""

Rows = list[tuple[float, list[float]]]
"""(step, the values of all seeds there) in order."""


def make_curves(results: Results, against: str) -> list[Chart]:
    """A chart of each quantity that was logged, with a line for each cell; validation first."""
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


def _chart(tag: str, cells: Mapping[str, Rows], x: str) -> Chart:
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
