"""A number that is reported, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One number of a report.

    Attributes:
        name: what it measures, unique among all metrics, with its unit where it has one.
        value: the number.
        interval_95: where the true one lies, with 95 % confidence; None where nothing can be said.
        method: how the interval was found; empty without one.
        detail: what else there is to say, as plain values.
    """

    name: str
    value: float
    interval_95: tuple[float, float] | None = None
    method: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        """The figure as plain values, fit for JSON; what is not finite is null."""
        interval = list(self.interval_95) if self.interval_95 else None
        if interval and not all(map(math.isfinite, interval)):
            interval = None
        return {
            "name": self.name,
            "value": self.value if math.isfinite(self.value) else None,
            "interval_95": interval,
            "method": self.method if interval else "",
            **self.detail,
        }
