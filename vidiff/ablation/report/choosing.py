"""Which cells are drawn where there is no room for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def shown_cells(results: Mapping[str, Any], most: int) -> list[Mapping[str, Any]]:
    """The baseline, then the others in their order; of too many those best by the first metric.

    Args:
        results: of ``vidiff ablate``.
        most: how many cells there is room for, the baseline among them.
    """
    baseline = [cell for cell in results["cells"] if cell["is_baseline"]]
    others = [cell for cell in results["cells"] if not cell["is_baseline"]]
    metric, described = next(iter(results["metrics"].items()))

    def badness(cell: Mapping[str, Any]) -> tuple[bool, float]:
        value = (cell["figures"].get(metric) or {}).get("value")
        if value is None:
            return True, 0.0
        return False, -value if described["higher_is_better"] else value

    best = sorted(range(len(others)), key=lambda place: badness(others[place]))
    room = max(0, most - len(baseline))
    return baseline + [others[place] for place in sorted(best[:room])]
