"""Does the work of one run: ``python -m vidiff.ablation.run.worker FOLDER``, wherever that may be.

Started twice, or again after it was killed, it does nothing twice: training goes on from its last
checkpoint, and who comes second leaves at once.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

from vidiff.ablation.run.folder import LOG, Phase, RunFolder

BUSY = 75
"""Exit status where another process works on the run: try later (EX_TEMPFAIL)."""

TAIL = 65536  # bytes of a log that are looked through for the reason of a failure


def work(path: Path) -> int:
    """Do what is left of the run in a folder; an exit status, ``BUSY`` if another works on it."""
    folder = RunFolder.read(path)
    rank = int(os.environ.get("SLURM_PROCID", 0))
    if rank:  # the first process of a job keeps the books
        phases = [phase for phase in folder.left() if phase.name != "evaluate"]
        return next((code for p in phases if (code := _run(p, path / f"log-{rank}.txt"))), 0)
    lock = folder.claim()
    if lock is None:
        return BUSY
    try:
        return _work_on(folder, lock)
    finally:
        os.close(lock)


def _work_on(folder: RunFolder, lock: int) -> int:
    log, status = folder.path / LOG, folder.status()
    if folder.left(status):
        status = replace(status, attempts=status.attempts + 1, error="")
        folder.record(status)
    for phase in folder.left(status):
        began, place = time.monotonic(), _size(log)
        code = _run(phase, log, keep=lock)
        seconds = time.monotonic() - began
        status = replace(status, seconds=status.seconds + seconds)
        if code:
            folder.record(replace(status, error=f"{phase.name}: {reason(log, place, code)}"))
            return code
        status = replace(status, done={**status.done, phase.key: round(seconds, 3)})
        folder.record(status)
    return 0


def _run(phase: Phase, log: Path, keep: int | None = None) -> int:
    """Run a command, which inherits ``keep`` and the signals that end this process.

    Returns its exit status; not 0 after such a signal, though some commands then end with 0.
    """
    with log.open("ab") as file:
        file.write(f"\n$ {' '.join(phase.words)}\n".encode())
        file.flush()
        process = subprocess.Popen(
            phase.words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            pass_fds=() if keep is None else (keep,),
        )  # fmt: skip

    told: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        told.append(number)
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = process.wait()
        return 128 + told[0] if told and not code else code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def reason(log: Path, start: int, code: int) -> str:
    """Why a command failed, in one line, from what it printed after ``start``."""
    with log.open("rb") as file:
        file.seek(max(start, _size(log) - TAIL))
        lines = re.split(r"[\r\n]+", file.read().decode("utf-8", errors="replace"))
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if re.match(r"(vidiff: error|[\w.]*(Error|Exception))\b", line)]
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    last = (errors or said or ["nothing was printed"])[-1].removeprefix("vidiff: error: ")
    return f"{last[:500]} (exit status {code})"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


if __name__ == "__main__":
    sys.exit(work(Path(sys.argv[1])))
