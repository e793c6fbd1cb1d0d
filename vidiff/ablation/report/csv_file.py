"""``results.csv``: a row for each run, with full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

COSTS = ("parameters", "flops_per_step")


def render_csv(results: Mapping[str, Any]) -> str:
    """The runs as a table for spreadsheets and programs.

    Args:
        results: of ``vidiff ablate``.

    Returns:
        Comma-separated values; what is not known is empty.
    """
    axes, metrics = list(results["axes"]), list(results["metrics"])
    columns = [
        "id", "cell", *axes, "seed", "state", *metrics, *COSTS, "steps", "seconds_per_step",
        "seconds", "memory_bytes", "equality", "error",
    ]  # fmt: skip
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for cell in results["cells"]:
        costs = cell["costs"]
        for run in cell["runs"]:
            row = [
                run["id"], cell["name"], *(cell["choices"][axis] for axis in axes), run["seed"],
                run["state"], *(run["figures"].get(metric) for metric in metrics),
                *(costs[name] for name in COSTS), run["step"], run["seconds_per_step"],
                run["seconds"], costs["memory_bytes"], cell["equality"], run["error"],
            ]  # fmt: skip
            writer.writerow([_safe(value) for value in row])
    return text.getvalue()


def _safe(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets a quote before it."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value
