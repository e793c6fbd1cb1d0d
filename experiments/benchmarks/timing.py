"""Timing in turns, so that a machine whose speed drifts is fair to all that are compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median


def in_turns(functions: Mapping[str, Callable[[], object]], rounds: int = 15) -> dict[str, float]:
    """Median seconds of each function, called one after the other, ``rounds`` times."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}
