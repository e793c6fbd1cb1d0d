"""Other processes in tests: starting them fast, waiting for what they do, and finding them.

A new interpreter needs ten seconds to import torch and Lightning. ``start`` and ``run`` fork theirs
from one process that has imported both: everything else is as in a process of its own, except that
all of them share one seed of hashes. Tests of imports, of Lightning's launcher, and of what differs
from one interpreter to the next start ``sys.executable`` instead.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

PATIENCE = 300.0
"""Seconds after which a wait is in vain: no bar on speed, a busy machine stays far below it."""


def wait(for_what: Callable[[], Any]) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + PATIENCE
    while not (found := for_what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_with(text: str) -> list[int]:
    """Other processes with a text in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


# -- Processes that have imported torch and Lightning before they begin ---------------------------

IMPORTED = ["torch", "lightning.pytorch.cli", "torch.utils.tensorboard", "vidiff.cli.model",
            "vidiff.training.trainer", "vidiff.costs.plan"]  # fmt: skip
LEFT_OUT = tuple(str(Path(__file__).parents[1] / name) for name in ("tests", "plugins"))
PATH = [path for path in sys.path if path and not path.startswith(LEFT_OUT)]
"""``sys.path`` before a test changes it, without the folders that pytest puts there."""


class Warm:
    """A Python process as ``subprocess.Popen`` has it: ``words`` are those after ``python``."""

    def __init__(
        self, *words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.args = [str(word) for word in words]
        self.outputs = tempfile.TemporaryDirectory()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        environment |= env or {}
        method = multiprocessing.get_start_method()  # of what it starts itself
        self.process = _server().Process(
            target=_become,
            args=(self.args, environment, cwd or Path.cwd(), self.outputs.name, method, PATH),
        )
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """What it wrote, once it has ended."""
        self.process.join(timeout)
        if self.poll() is None:
            self.process.kill()
            self.process.join()
        texts = [path.read_text() for path in sorted(Path(self.outputs.name).iterdir())]
        self.outputs.cleanup()
        return texts[0], texts[1]

    def finish(self) -> subprocess.CompletedProcess[str]:
        texts = self.communicate()
        code = self.poll()
        assert code is not None
        return subprocess.CompletedProcess(self.args, code, *texts)


def run(
    *words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a Python process to its end."""
    return Warm(*words, env=env, cwd=cwd).finish()


def run_together(
    count: int, *words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> list[subprocess.CompletedProcess[str]]:
    """Run processes of one group, as Lightning's launcher and ``torchrun`` start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    about = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    about |= {"LOCAL_WORLD_SIZE": str(count)} | dict(env or {})
    group = [
        Warm(*words, env=about | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, cwd=cwd)
        for rank in range(count)
    ]
    wait(lambda: all(each.poll() == 0 for each in group) or any(each.poll() for each in group))
    if any(each.poll() for each in group):  # the others wait for it: give them time to say so
        end = time.monotonic() + 10
        while time.monotonic() < end and any(each.poll() is None for each in group):
            time.sleep(0.05)
        for each in group:
            if each.poll() is None:
                each.process.kill()
    return [each.finish() for each in group]


def _server() -> multiprocessing.context.ForkServerContext:
    """Where processes are forked; it starts once, at the first call."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    known = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
    os.environ.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    try:
        forkserver.ensure_running()
    finally:
        for name, value in known.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return context


def _become(
    words: list[str], env: dict[str, str], cwd: Path, outputs: str, method: str, path: list[str]
) -> None:
    """In the new process: what ``python words`` does."""
    multiprocessing.set_start_method(method, force=True)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, "1"), (2, "2")):
        file = os.open(Path(outputs, name), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    _set_rank()
    what, rest = words[0], words[1:]
    first = {"-m": str(cwd), "-c": ""}.get(what, str(Path(what).parent))
    given = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [first, *given, *path]
    if what == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif what == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv = words
        runpy.run_path(what, run_name="__main__")


def _set_rank() -> None:
    """Lightning reads it at its import, which is over."""
    from lightning.fabric.utilities import rank_zero

    rank_zero.rank_zero_only.rank = rank_zero._get_rank() or 0
