"""The states of jobs in a queue, of all of them at once."""

from __future__ import annotations

import os
import subprocess
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, Protocol

from vidiff.ablation.launchers.base import State

if TYPE_CHECKING:
    import submitit

INTERVAL = 5.0
"""Seconds between two questions to Slurm."""

WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"}


class Queue(Protocol):
    """The jobs that still wait or run."""

    def look(self, job: submitit.Job[Any]) -> tuple[float, State | None]:
        """When the queue was last seen (monotonic clock), and the job's place there, if any."""


class SlurmQueue:
    """The user's jobs in Slurm, by ``squeue``.

    ``squeue`` is called once in ``INTERVAL`` seconds, however many jobs there are and however often
    each is asked for. (submitit asks ``sacct``, at last every ten minutes; that needs accounting.)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, State] = {}
        self._asked = self._known = float("-inf")

    def look(self, job: submitit.Job[Any]) -> tuple[float, State | None]:
        """When ``squeue`` last answered, and the job's place in what it said, if any."""
        with self._lock:
            if time.monotonic() - self._asked >= INTERVAL:
                self._ask()
            return self._known, self._jobs.get(job.job_id)

    def _ask(self) -> None:
        self._asked = time.monotonic()
        words = ["squeue", "--noheader", "--user", str(os.getuid()), "--format", "%i %T"]
        result = subprocess.run(words, capture_output=True, text=True)
        if result.returncode:  # slurmctld is away; its jobs are not
            warnings.warn(
                f"squeue: {result.stderr.strip()}; asking again in {INTERVAL:g} s", stacklevel=2
            )
            return
        lines = [line.split() for line in result.stdout.splitlines()]
        self._jobs = {job: "waiting" if state in WAITING else "running" for job, state in lines}
        self._known = self._asked


class LocalQueue:
    """The processes of submitit's local executor."""

    def look(self, job: submitit.Job[Any]) -> tuple[float, State | None]:
        """Now, and whether the job runs."""
        return time.monotonic(), None if job.done() else "running"
