"""What each figure sees of what was done to real clips, and what it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

LEAST_CHANGE = 0.1
"""Of the value of untouched clips."""


@dataclass(frozen=True)
class Seen:
    """A figure of clips that something was done to.

    Attributes:
        value: the figure; None where it is not known.
        ratio: to that of untouched clips; None where that says nothing.
        sees: whether the change is more than chance would make; None where that is not known.
    """

    value: float | None
    ratio: float | None
    sees: bool | None


@dataclass(frozen=True)
class SanityLine:
    """A figure of untouched real clips, and of the same after each change."""

    figure: str
    real: float | None
    changed: dict[str, Seen]


def make_sanity(report: dict[str, Any]) -> list[SanityLine]:
    """A line for each figure of the sanity rows; none without such rows."""
    sanity = report["sanity"]
    if not sanity:
        return []
    rows = sanity["rows"]
    lines = []
    for figure, value in rows["real"].items():
        chance, worse = _chance(report, figure, value), _worse(report, figure)
        changed = {
            name: _seen(value, row.get(figure), chance, worse)
            for name, row in rows.items()
            if name != "real"
        }
        lines.append(SanityLine(figure, value, changed))
    return lines


def _seen(real: float | None, value: float | None, chance: float | None, worse: int) -> Seen:
    if real is None or value is None:
        return Seen(value, None, None)
    ratio = value / real if real > 0 and value >= 0 else None
    if chance is None:
        return Seen(value, ratio, None)
    change = (value - real) * worse if worse else abs(value - real)
    return Seen(value, ratio, change > chance)


def _worse(report: dict[str, Any], figure: str) -> int:
    """Which way a distance says that something is wrong: 1, -1, or 0 where either way does.

    Clips that something was done to are no nearer to real ones: a smaller distance is chance.
    """
    for metric in report["metrics"].values():
        higher = metric["higher_is_better"]
        if metric["kind"] == "sets" and figure == metric["figures"][0] and higher is not None:
            return -1 if higher else 1
    return 0


def _chance(report: dict[str, Any], figure: str, real: float | None) -> float | None:
    """How much a figure of so few clips may change and still be called unchanged.

    A mean over clips is one of the same clips before and after, so a tenth of its value is a change
    whatever its 95 % interval, here scaled to so few clips; less is one if it is above that. A
    distance has the spread of the noise floor, scaled by 1 / n, and a tenth of its value at least.
    """
    if real is None:
        return None
    num_clips = report["sanity"]["num_clips"]
    for metric in report["metrics"].values():
        if figure not in metric["figures"]:
            continue
        if metric["kind"] == "sets":
            spread = 0.0
            floor = metric.get("noise_floor")
            if floor and figure == metric["figures"][0]:
                spread = floor["quantile_95"] - floor["mean"]
                spread *= max(1.0, floor["num_clips"] / num_clips)
            return max(LEAST_CHANGE * abs(real), spread)
    for found in (report["real"] or {}).get("figures", {}).values():
        for one in found:
            if one["name"] == figure and one.get("interval_95"):
                low, high = one["interval_95"]
                scale = math.sqrt(report["real"]["num_clips"] / num_clips)
                half = float((high - low) / 2 * max(1.0, scale))
                return min(half, LEAST_CHANGE * abs(real)) if real else half
    return LEAST_CHANGE * abs(real)
