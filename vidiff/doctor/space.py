"""Free disk and memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from vidiff.cores import kernel_lines
from vidiff.doctor.base import Check, Finding, judged
from vidiff.files import cache_folder
from vidiff.registry import register

GIB = 2**30


@dataclass(frozen=True)
class Place:
    """A folder that is written to, bytes that should be free, and what to do if they are not."""

    name: str
    path: Path
    least: int
    step: str


@register("space")
class Space(Check):
    """Free disk where vidiff writes, and free memory."""

    place: ClassVar[int] = 8

    def look(self) -> list[Finding]:
        found = [
            folder(place, shutil.disk_usage(there).free, os.access(there, os.W_OK))
            for place in places()
            for there in [_there(place.path)]
        ]
        shared = Path("/dev/shm")
        if shared.is_dir():
            found.append(workers_memory(shutil.disk_usage(shared).total))
        return [*found, memory(available_memory())]


def places() -> list[Place]:
    """Where runs, temporary files and features are written."""
    return [
        Place("here", Path.cwd(), 5 * GIB, "set --trainer.default_root_dir to a larger disk"),
        Place("temporary", Path(tempfile.gettempdir()), GIB, "set TMPDIR to a larger disk"),
        Place("features", cache_folder(), GIB, "set VIDIFF_CACHE to a larger disk"),
    ]


def folder(place: Place, free: int, is_writable: bool) -> Finding:
    """The line of a folder."""
    found, step = f"{free / GIB:.1f} GiB free in {place.path}", ""
    if not is_writable:
        found, step = f"{place.path} cannot be written to", f"{place.step} that may be written to"
    elif free < place.least:
        step = f"free some, or {place.step}"
    facts = {"path": str(place.path), "free_bytes": free, "writable": is_writable}
    return judged(place.name, found, step, facts, is_wrong=not is_writable)


def workers_memory(size: int) -> Finding:
    """The line of the memory through which dataloader workers hand over clips."""
    step = "docker run --shm-size=8g, or --data.num_workers 0" if size < GIB else ""
    found = f"{size / GIB:.1f} GiB of shared memory for workers"
    return judged("workers", found, step, {"bytes": size})


def memory(available: int | None) -> Finding:
    """The line of free memory; None where this system does not say."""
    found, step = "this system does not say how much is free", ""
    if available is not None:
        found = f"{available / GIB:.1f} GiB available"
        if available < 4 * GIB:
            step = "close other programs, or lower data.batch_size; `vidiff plan` says what is "
            step += "needed"
    return judged("memory", found, step, {"available_bytes": available})


def available_memory(
    proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Bytes that this process could have: what is free, or what its container leaves it."""
    known = []
    for line in kernel_lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            known.append(int(line.split()[1]) * 1024)
    limit, used = (kernel_lines(cgroup / name) for name in ("memory.max", "memory.current"))
    if limit and used and limit[0].isdigit():
        known.append(int(limit[0]) - int(used[0]))
    return min(known, default=None)


def _there(path: Path) -> Path:
    """The path, or the folder that it would be made in."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
