"""Scores as text, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from vidiff.evaluation_report import Group, MetricInfo, Score
from vidiff.formatting import columns


def table(groups: Mapping[str, Group], metrics: Mapping[str, MetricInfo]) -> str:
    """The scores as text: a line a score, a column a group."""
    rows = [["", *(f"{name} ({group.num_clips})" for name, group in groups.items()), "noise floor"]]
    for name, metric in metrics.items():
        for score in metric.names:
            found = [{s.name: s for s in group.scores[name]} for group in groups.values()]
            floor = metric.noise_floor if score == metric.main.name else None
            cells = [_cell(scores.get(score)) for scores in found]
            rows.append([score, *cells, f"{floor.mean:.4g}" if floor else ""])
    return "\n".join(columns(rows))


def _cell(score: Score | None) -> str:
    if score is None or not score.is_known:
        return "-"
    low, high = score.interval or (0.0, 0.0)
    interval = f" [{low:.4g}, {high:.4g}]" if score.interval else ""
    return f"{score.value:.4g}{interval}"
