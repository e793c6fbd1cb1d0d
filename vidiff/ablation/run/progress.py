"""What is seen of an ablation while it runs: a line for each run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vidiff.ablation.ask.cells import Run
from vidiff.ablation.run.folder import RunFolder, read_or_empty
from vidiff.formatting import duration

QUIET = 60.0
"""Seconds from one line of a run to its next, where lines cannot be written over."""


@dataclass(frozen=True)
class Place:
    """How far a run is: the phase, and the step of training and its rate where they are known."""

    phase: str
    step: int | None = None
    num_steps: int | None = None
    seconds_per_step: float | None = None

    def __str__(self) -> str:
        if self.phase != "fit":
            return {"sample": "making videos", "evaluate": "measuring"}.get(self.phase, self.phase)
        if self.step is None or self.num_steps is None:
            return "starting"
        text = f"step {self.step:,} of {self.num_steps:,}"
        if self.seconds_per_step is None:
            return text
        return f"{text}, {duration((self.num_steps - self.step) * self.seconds_per_step)} left"


def place_of(folder: RunFolder) -> Place:
    """How far a run is, from what its commands write."""
    left = folder.left()
    phase = left[0].name if left else "done"
    record = read_or_empty(folder.train / "run.json")
    if not record:
        return Place(phase)
    step, seconds = record["step"], record["training_seconds"]
    rate = record.get("seconds_per_step") or (seconds / step if step else None)
    return Place(phase, step, record.get("num_steps"), rate)


class Progress:
    """Writes a line a run: over and over on a terminal, now and then into a file.

    ``done`` of the ``total`` runs are from earlier calls; ``width`` is that of the names.
    """

    def __init__(
        self,
        total: int,
        done: int,
        num_at_once: int,
        width: int = 0,
        write: Callable[[str], Any] | None = None,
    ) -> None:
        self.total, self.done, self.num_at_once, self.width = total, done, num_at_once, width
        self.write = write or sys.stderr.write
        self.live = write is None and sys.stderr.isatty()
        self.took: list[float] = []
        self.numbers: dict[str, int] = {}
        self.shown: dict[str, float] = {}
        self.lines: dict[str, str] = {}
        self.height = 0

    def update(self, run: Run, place: Place) -> None:
        """Show how far a run is."""
        number = self.numbers.setdefault(run.id, self.done + len(self.numbers) + 1)
        self.lines[run.id] = self._line(number, run, str(place))
        now = time.monotonic()
        if self.live:
            self._redraw()
        elif now - self.shown.get(run.id, float("-inf")) >= QUIET:
            self.shown[run.id] = now
            self.write(self.lines[run.id] + "\n")

    def end(self, run: Run, what: str, seconds: float | None = None) -> None:
        """Say what became of a run."""
        number = self.numbers.setdefault(run.id, self.done + len(self.numbers) + 1)
        self.lines.pop(run.id, None)
        if seconds is not None:
            self.took.append(seconds)
            what = f"{what} after {duration(seconds)}"
        left = self.seconds_left()
        rest = f"; {duration(left)} left for all" if left else ""
        self._clear()
        self.write(self._line(number, run, what) + rest + "\n")
        self._redraw()

    def say(self, text: str) -> None:
        """A line of its own."""
        self._clear()
        self.write(text + "\n")
        self._redraw()

    def seconds_left(self) -> float | None:
        """Until all runs are done, if those to come take as long as those that were."""
        left = self.total - self.done - len(self.took)
        if not self.took or left <= 0:
            return None
        return sum(self.took) / len(self.took) * left / min(self.num_at_once, max(left, 1))

    def _line(self, number: int, run: Run, what: str) -> str:
        digits = len(str(self.total))
        return f"[{number:>{digits}}/{self.total}] {run.name:<{self.width}}  {run.id}  {what}"

    def _redraw(self) -> None:
        if self.live:
            self._clear()
            self.write("".join(f"{line}\n" for line in self.lines.values()))
            self.height = len(self.lines)

    def _clear(self) -> None:
        if self.height:
            self.write(f"\x1b[{self.height}A\x1b[J")
            self.height = 0
