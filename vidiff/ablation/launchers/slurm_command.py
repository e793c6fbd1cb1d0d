"""What runs inside a Slurm job: a command, and what happens when the job is told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

from vidiff.ablation.launchers import child


@dataclass
class Command:
    """What submitit starts in each task of a job; only these plain values travel there.

    ``requeue``: whether the job goes back into the queue when its time is over.
    """

    words: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    requeue: bool

    def __call__(self) -> None:
        """Run the command; a ``RuntimeError`` if it fails."""
        told: list[int] = []

        def tell(number: int, frame: FrameType | None) -> None:
            told.append(number)

        signal.signal(signal.SIGTERM, tell)
        process = child.start(self.words, self.cwd, self.env)
        try:
            while process.poll() is None and not told:
                time.sleep(0.1)
            if told:
                self._leave(process)
        finally:  # also when submitit requeues, on its own signal
            child.end(process)
        if process.returncode:
            raise RuntimeError(f"{self.words[0]} ended with exit status {process.returncode}")

    def checkpoint(self) -> Any:
        """What submitit is to run when the job is started again: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(replace(self)) if self.requeue else None

    def _leave(self, process: subprocess.Popen[bytes]) -> None:
        """End, told by SIGTERM.

        Slurm has cancelled or requeued the job by now, whatever its exit status; or a task of it
        failed; or it is given time before it is preempted (GraceTime), and were it to end by
        itself in that time, Slurm would take it for failed: then it is requeued here.
        """
        if _is_in_grace():
            from submitit.core.job_environment import JobEnvironment

            usual = signal.getsignal(JobEnvironment._usr_sig())
            assert callable(usual)
            usual(signal.SIGTERM, None)  # the first task requeues the job, and exits
            child.end(process)
            time.sleep(child.PATIENCE)  # the others wait for that
        sys.exit(128 + signal.SIGTERM)


def _is_in_grace() -> bool:
    """Whether the job that this process belongs to is to be preempted, but still runs."""
    if (job := os.environ.get("SLURM_JOB_ID")) is None:
        return False
    words = ["squeue", "--noheader", "--jobs", job, "--Format", "State:20,PreemptTime:20"]
    said = subprocess.run(words, capture_output=True, text=True).stdout.split()
    return said[:1] == ["RUNNING"] and said[1:] != ["N/A"]
