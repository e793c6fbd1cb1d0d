"""The loop that starts what is missing, watches it, and tries again what failed."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vidiff.ablation.ask.cells import Run
from vidiff.ablation.ask.file import Budget
from vidiff.ablation.ask.nodes import devices_of
from vidiff.ablation.launchers.base import Handle, Job, Launcher
from vidiff.ablation.run.folder import RunFolder
from vidiff.ablation.run.progress import Progress, place_of
from vidiff.files import read_json, write_json

HANDLE = "launched.json"
POLL = 0.02  # seconds between two looks at the jobs
SHOW = 1.0  # seconds between two looks into the folders of those that run


@dataclass
class _Active:
    run: Run
    folder: RunFolder
    handle: Handle | None  # None where another call started it
    spent: float  # seconds of earlier attempts
    since: float | None = None  # when it began to run; None while it waits in a queue
    shown: float = 0.0


class Runner:
    """Runs what is left of an ablation, as many runs at once as the launcher allows by default."""

    def __init__(
        self,
        folders: Mapping[str, RunFolder],
        launcher: Launcher,
        progress: Progress,
        budget: Budget | None = None,
        retries: int = 1,
        num_at_once: int | None = None,
    ) -> None:
        self.folders, self.launcher, self.progress = folders, launcher, progress
        self.num_at_once = num_at_once or launcher.num_at_once
        self.budget, self.retries = budget or Budget(), retries
        self.failures: Counter[str] = Counter()
        self.spent = sum(folder.status().seconds for folder in folders.values())

    def run(self, runs: Sequence[Run]) -> bool:
        """Run all that is not done and can be; returns whether all are done."""
        waiting = deque(run for run in runs if not self.folders[run.id].is_done())
        active: dict[str, _Active] = {}
        over = False
        try:
            while waiting or active:
                for one in list(active.values()):
                    if self._watch(one):
                        del active[one.run.id]
                        if self._is_to_be_tried_again(one.run):
                            waiting.append(one.run)
                ours = sum(one.handle is not None for one in active.values())
                while waiting and ours < self.num_at_once and not over:
                    if over := self._is_spent(active.values()):
                        break
                    run = waiting.popleft()
                    if self.folders[run.id].is_done():  # by another call, meanwhile
                        self.progress.end(run, "done by another call")
                        continue
                    active[run.id] = self._start(run)
                    ours += active[run.id].handle is not None
                if over and not active:
                    self.progress.say(
                        f"the budget of {self.budget.hours:g} hours is spent: {len(waiting)} runs "
                        "are left; raise budget.hours and call again to go on"
                    )
                    break
                time.sleep(POLL)
        except BaseException:
            self._leave(active.values())
            raise
        finally:
            self.launcher.close()
        return all(self.folders[run.id].is_done() for run in runs)

    def _leave(self, active: Iterable[_Active]) -> None:
        """Stop the jobs that end with this process; those of a queue can be found again."""
        handles = [one.handle for one in active if one.handle is not None]
        queued = sum(handle.record is not None for handle in handles)
        ending = [handle for handle in handles if handle.record is None]
        if ending:
            with ThreadPoolExecutor(len(ending)) as pool:  # at once, as each may take its time
                list(pool.map(lambda handle: handle.stop(), ending))
        if queued:
            self.progress.say(f"{queued} jobs go on in their queue; the next call finds them")

    def _start(self, run: Run) -> _Active:
        folder = self.folders[run.id]
        one = _Active(run, folder, None, folder.status().seconds)
        if not folder.is_busy():
            queued = folder.path / HANDLE  # by an earlier call; it may still be there
            found = self.launcher.attach(read_json(queued)) if queued.exists() else None
            one.handle = found or self.launcher.start(make_job(run, folder))
            if one.handle.record is not None:
                write_json(queued, one.handle.record)
        self._show(one)
        return one

    def _watch(self, one: _Active) -> bool:
        """Look at a run; whether it has ended, well or not."""
        now, shown = time.monotonic(), one.shown
        if now - shown > SHOW:
            self._show(one)
        if one.handle is None:
            if now - shown <= SHOW or one.folder.is_busy():  # no need to look all the time
                return False
        elif (state := one.handle.state()) in ("waiting", "running"):
            if one.since is None and state == "running":
                one.since = now
            limit = self.budget.minutes_per_run
            if limit is None or one.since is None or now - one.since < 60 * limit:
                return False
            one.handle.stop()
            return self._fail(one, f"stopped after {limit:g} minutes (budget.minutes_per_run)")
        status = one.folder.status()
        if not one.folder.left(status):
            self.spent += status.seconds - one.spent
            self.progress.end(one.run, "done", status.seconds - one.spent)
            return True
        if one.folder.is_busy():  # another call was quicker, or training outlived its worker
            one.handle = None
            return False
        if one.handle is None and not status.error:
            return True  # its worker was stopped: it is ours now
        return self._fail(one, status.error or _left_by(one.handle, one.folder))

    def _fail(self, one: _Active, error: str) -> bool:
        self.failures[one.run.id] += 1
        self.spent += one.folder.status().seconds - one.spent
        again = self._is_to_be_tried_again(one.run)
        what = "; trying again from its last checkpoint" if again else f" ({one.folder.path})"
        self.progress.end(one.run, f"failed: {error}{what}")
        return True

    def _is_to_be_tried_again(self, run: Run) -> bool:
        return self.failures[run.id] <= self.retries and not self.folders[run.id].is_done()

    def _is_spent(self, active: Iterable[_Active]) -> bool:
        if self.budget.hours is None:
            return False
        now = time.monotonic()
        running = sum(now - one.since for one in active if one.since is not None)
        return self.spent + running >= 3600 * self.budget.hours

    def _show(self, one: _Active) -> None:
        one.shown = time.monotonic()
        self.progress.update(one.run, place_of(one.folder))


def _left_by(handle: Handle | None, folder: RunFolder) -> str:
    """Why a run is not done, though its worker noted no error."""
    if handle is None or handle.state() != "succeeded":
        return "it was ended from outside"
    phases = ", ".join(phase.name for phase in folder.left())
    return f"its worker ended well and left {phases} undone: call again"


def make_job(run: Run, folder: RunFolder) -> Job:
    """The job that does the work of a run."""
    words = (sys.executable, "-P", "-m", "vidiff.ablation.run.worker", str(folder.path))
    name = re.sub(r"[^\w.-]+", "-", f"{run.id}-{run.cell.name}-{run.seed}").strip("-")[:80]
    # With it, a job finds what this process imports, wherever it starts.
    env = {key: value for key, value in os.environ.items() if key == "PYTHONPATH"}
    return Job(name, words, folder.path.resolve(), Path.cwd(), env, *devices_of(run.config))
