"""Numbers and lists as text for people."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence


def duration(seconds: float) -> str:
    """Seconds for people: ``48 s``, ``3 min 05 s``, ``2 h 10 min``, ``3 days 4 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"


def large(number: float | None, digits: int = 4) -> str:
    """1234567 as ``1.235 M``; a dash for what is not known."""
    if number is None:
        return "–"
    power = min(int(math.log10(max(abs(number), 1))) // 3, 6)
    if not power:
        return f"{number:.{digits}g}"
    return f"{number / 1000**power:.{digits}g} {'kMGTPE'[power - 1]}"


def size(number: int) -> str:
    """Bytes as ``1.50 GiB``."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if number >= 1024**power:
            return f"{number / 1024**power:,.2f} {unit}"
    return f"{number} B"


def columns(rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows as lines whose cells stand in columns, those numbered in ``right`` to the right."""
    rows = list(rows)
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        padded = (f"{c:>{w}}" if number in right else f"{c:<{w}}" for number, (c, w) in cells)
        lines.append("  ".join(padded).rstrip())
    return lines


def listed(items: Sequence[str], most: int = 5, separator: str = ", ") -> str:
    """The first of some items, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return separator.join(items[:most]) + more
