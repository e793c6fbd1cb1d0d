"""Cores that this process may use: of its affinity, within the CPU quota of its container."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_cores() -> int:
    """Cores that this process may use, by its affinity and its control groups; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, int(min(count, cpu_quota())))


def cpu_quota(root: Path = Path("/")) -> float:
    """Cores that control groups of either version allow this process; infinity without a limit."""
    limits = [math.inf]
    for line in kernel_lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        mount, read = root / "sys/fs/cgroup", _limit
        if controllers and "cpu" not in controllers.split(","):
            continue
        if controllers:
            mount, read = mount / "cpu", _limit_v1
        group = mount / path.strip("/")
        # Inside a container the path may be the host's: the mount is its own group then.
        limits += [read(each) for each in (group, *group.parents) if each.is_relative_to(mount)]
    return min(limits)


def _limit(group: Path) -> float:
    quota, *period = " ".join(kernel_lines(group / "cpu.max")).split() or ["max"]
    return math.inf if quota == "max" else int(quota) / int(*period or ["100000"])


def _limit_v1(group: Path) -> float:
    quota, period = (kernel_lines(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else math.inf


def kernel_lines(path: Path) -> list[str]:
    """The lines of one of the kernel's files; none where it is not there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
