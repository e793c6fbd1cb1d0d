"""The page of an evaluation: one HTML file that asks nothing of the network."""

from __future__ import annotations

import math
from itertools import islice

from vidiff.evaluation_report import Curve, Report
from vidiff.pages import charts
from vidiff.pages.charts import Chart
from vidiff.pages.environment import make_environment
from vidiff_eval.pages.distributions import REAL, make_distributions
from vidiff_eval.pages.gallery import make_gallery
from vidiff_eval.pages.sanity_table import make_sanity
from vidiff_eval.pages.scores_table import BAR, make_lines

MAX_ROWS = 500
"""Clips whose values are listed; all of them are in the JSON."""


def render_evaluation(report: Report, *, title: str) -> str:
    """An evaluation as a self-contained HTML page, for people who know nothing of the code.

    Clips are played if their files are still in the folders of the groups; all text is escaped.
    """
    rows = [(name, video) for name, group in report.groups.items() for video in group.videos]
    return make_environment("vidiff_eval", "pages").get_template("evaluation.html.j2").render(
        title=title,
        report=report,
        lines=make_lines(report),
        bar=BAR,
        distributions=make_distributions(report),
        sanity=make_sanity(report),
        curves=[(curve.x, chart) for curve in report.curves if (chart := _chart(curve))],
        gallery=make_gallery(report),
        rows=list(islice(rows, MAX_ROWS)),
        num_rows=len(rows),
        row_scores=_row_scores(report),
        colours=_colours(report),
    )  # fmt: skip


def _chart(curve: Curve) -> Chart | None:
    """A chart of the points that are numbers; None without any."""
    lines = {
        line.label: [(x, y) for x, y in line.points if math.isfinite(y)] for line in curve.series
    }
    lines = {label: points for label, points in lines.items() if points}
    return charts.make_chart(curve.title, lines, x=curve.x) if lines else None


def _row_scores(report: Report) -> list[tuple[str, str]]:
    """(metric, main score) of those that find something of single clips."""
    return [(n, metric.main.name) for n, metric in report.metrics.items() if metric.has_rows]


def _colours(report: Report) -> dict[str, str]:
    """Each group has one colour in the whole page, and so have the real clips."""
    of_real = dict.fromkeys((REAL, "real", "real against real"), "real")
    return of_real | {group: f"s{k % 6}" for k, group in enumerate(report.groups)}
