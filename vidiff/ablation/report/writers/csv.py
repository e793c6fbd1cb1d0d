"""``results.csv``, a row for each run, and ``cells.csv``, one for each cell; in full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from vidiff.ablation.report.content import Content
from vidiff.ablation.report.writers.base import ReportWriter
from vidiff.registry import register

if TYPE_CHECKING:
    from vidiff.ablation.judge.schema import CellResult, Results


@register("csv")
class CSV(ReportWriter):
    """Runs and cells as tables for spreadsheets and programs; what is not known is empty."""

    def render(self, content: Content) -> dict[str, str | bytes]:
        return {"results.csv": _runs(content.results), "cells.csv": _cells(content)}


def _runs(results: Results) -> str:
    axes, metrics = list(results.axes), list(results.metrics)
    head = [
        "id", "cell", *axes, "seed", "state", *metrics, "parameters", "flops_per_step", "steps",
        "seconds_per_step", "seconds", "memory_bytes", "equality", "error",
    ]  # fmt: skip
    rows = []
    for cell in results.cells:
        costs = cell.costs
        rows += [
            [
                run.id, cell.name, *(cell.choices[axis] for axis in axes), run.seed, run.state,
                *(run.score(metric) if metric in run.scores else None for metric in metrics),
                costs.parameters, costs.flops_per_step, run.step, run.seconds_per_step,
                run.seconds, costs.memory_bytes, cell.equality, run.error,
            ]
            for run in cell.runs
        ]  # fmt: skip
    return _table(head, rows)


def _cells(content: Content) -> str:
    results, columns = content.results, content.columns
    head = ["cell", *results.axes]
    for metric in results.metrics:
        said = ("low", "high", "difference", "difference_low", "difference_high", "p", "verdict")
        head += [metric, *(f"{metric}_{name}" for name in said)]
    rows = []
    for cell in results.cells:
        row = [cell.name, *(cell.choices[axis] for axis in results.axes)]
        for metric in results.metrics:
            row += _judged(cell, metric)
        rows.append([*row, *(column.value(cell) for column in columns)])
    return _table([*head, *(column.title for column in columns)], rows)


def _judged(cell: CellResult, metric: str) -> list[Any]:
    score, compared = cell.scores.get(metric), cell.differences.get(metric)
    none = (None, None)
    row: list[Any] = [score and score.value, *((score and score.interval) or none)]
    if compared is None:
        return [*row, *none, *none, None]
    ends = compared.interval or none
    return [*row, compared.difference, *ends, compared.p_holm, compared.verdict]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_safe(value) for value in row] for row in rows)
    return text.getvalue()


def _safe(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets a quote before it."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value
