"""A command as a child of this process, which ends with it, and with it all that it started.

Queues run a job's command inside a process of theirs, and end that process in ways of their own: by
a signal only to it, to all that it started, or without a word. Run as a script, this file
prepares a process and becomes the command::

    python child.py PARENT COMMAND…
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

PATIENCE = 30.0
"""Seconds that a command is given to end by itself."""

PR_SET_PDEATHSIG = 1  # of prctl(2)


def start(
    words: Sequence[str], cwd: str, env: Mapping[str, str], output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command as the head of a process group of its own; ``env`` adds to this process's.

    It gets SIGTERM when this process ends, in whatever way. It ignores SIGUSR1 and SIGUSR2, by
    which Slurm announces the end of the job's time: those are for this process.
    """
    prepare = (sys.executable, "-I", "-S", __file__, str(os.getpid()))
    return subprocess.Popen(
        (*prepare, *words), cwd=cwd, env={**os.environ, **env}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=output, stderr=output and subprocess.STDOUT,
    )  # fmt: skip


def end(process: subprocess.Popen[bytes], patience: float = PATIENCE) -> None:
    """End a command and all that it started; kill what has not ended after ``patience`` seconds."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            process.wait(patience)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()


@contextmanager
def interruptible() -> Iterator[None]:
    """Within this, processes start that SIGINT ends, by which queues stop theirs.

    Shells make background processes, and so their children, ignore it.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # all have ended
        process.poll()


def _become(parent: int, words: list[str]) -> None:
    """Turn this process into a command that hears of its parent's end."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # what is ignored stays so in the command
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before it was listened to
        sys.exit(128 + signal.SIGTERM)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        sys.exit(f"{words[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
