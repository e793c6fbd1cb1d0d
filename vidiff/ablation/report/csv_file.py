"""``results.csv``: a row for each run, with full precision."""

from __future__ import annotations

import csv
import io
from typing import Any

from vidiff.ablation.judge.schema import Results


def render_csv(results: Results) -> str:
    """The runs as a table for spreadsheets and programs; what is not known is empty."""
    axes, metrics = list(results.axes), list(results.metrics)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([
        "id", "cell", *axes, "seed", "state", *metrics, "parameters", "flops_per_step", "steps",
        "seconds_per_step", "seconds", "memory_bytes", "equality", "error",
    ])  # fmt: skip
    for cell in results.cells:
        costs = cell.costs
        for run in cell.runs:
            row = [
                run.id, cell.name, *(cell.choices[axis] for axis in axes), run.seed, run.state,
                *(run.scores.get(metric) for metric in metrics), costs.parameters,
                costs.flops_per_step, run.step, run.seconds_per_step, run.seconds,
                costs.memory_bytes, cell.equality, run.error,
            ]  # fmt: skip
            writer.writerow([_safe(value) for value in row])
    return text.getvalue()


def _safe(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets a quote before it."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value
