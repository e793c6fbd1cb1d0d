"""What each score sees of what was done to real clips, and what it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vidiff.evaluation_report import Report

LEAST_CHANGE = 0.1
"""Of the value of untouched clips."""


@dataclass(frozen=True)
class Seen:
    """A score of clips that something was done to."""

    value: float | None  # the score; None where it is not known
    ratio: float | None  # to that of untouched clips; None where that says nothing
    sees: bool | None  # whether the change is more than chance; None where that is not known


@dataclass(frozen=True)
class SanityLine:
    """A score of untouched real clips, and of the same after each change."""

    score: str
    real: float | None
    changed: dict[str, Seen]


def make_sanity(report: Report) -> list[SanityLine]:
    """A line for each score of the sanity rows; none without such rows."""
    if not report.sanity:
        return []
    rows = report.sanity.rows
    lines = []
    for score, value in rows["real"].items():
        chance, worse = _chance(report, score, value), _worse(report, score)
        changed = {
            name: _seen(value, row.get(score, math.nan), chance, worse)
            for name, row in rows.items()
            if name != "real"
        }
        lines.append(SanityLine(score, _known(value), changed))
    return lines


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _seen(real: float, value: float, chance: float | None, worse: int) -> Seen:
    if not (math.isfinite(real) and math.isfinite(value)):
        return Seen(_known(value), None, None)
    ratio = value / real if real > 0 and value >= 0 else None
    if chance is None:
        return Seen(value, ratio, None)
    change = (value - real) * worse if worse else abs(value - real)
    return Seen(value, ratio, change > chance)


def _worse(report: Report, score: str) -> int:
    """Which way a distance says that something is wrong: 1, -1, or 0 where either way does.

    Clips that something was done to are no nearer to real ones: a smaller distance is chance.
    """
    for metric in report.metrics.values():
        higher = metric.is_higher_better(score)
        if not metric.has_rows and higher is not None:
            return -1 if higher else 1
    return 0


def _chance(report: Report, score: str, real: float) -> float | None:
    """How much a score of so few clips may change and still be called unchanged.

    The same clips are scored before and after, so a change of 10 % always counts; a smaller one
    counts if it exceeds the half-width of the 95 % interval, scaled to this number of clips. A
    distance has the spread of the noise floor, scaled by 1 / n, and 10 % of its value at least.
    """
    if not math.isfinite(real) or report.sanity is None:
        return None
    num_clips = report.sanity.num_clips
    for _, metric, info in report.infos():
        if info.name == score and not metric.has_rows:
            spread = 0.0
            if metric.noise_floor and score == metric.main.name:
                floor = metric.noise_floor
                spread = floor.quantile_95 - floor.mean
                spread *= max(1.0, floor.num_clips / num_clips)
            return max(LEAST_CHANGE * abs(real), spread)
    known = report.real.by_name.get(score) if report.real else None
    if known and known.interval and report.real:
        low, high = known.interval
        scale = math.sqrt(report.real.num_clips / num_clips)
        half = float((high - low) / 2 * max(1.0, scale))
        return min(half, LEAST_CHANGE * abs(real)) if real else half
    return LEAST_CHANGE * abs(real)
