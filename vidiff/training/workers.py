"""How many dataloader workers a process gets.

``auto`` counts the cores that this process may use: its affinity, the CPU quota of its control
groups (containers and Kubernetes set one), and its part of what the processes on the node share.
"""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment

NumWorkers = int | Literal["auto"]

MOST = 8
"""Workers of one process; more seldom help, and each holds batches in memory."""

LEAST_SHARED_MEMORY = 2**30
"""Bytes. Workers hand batches over in shared memory; a container has 64 MiB unless told."""


@dataclass(frozen=True)
class Workers:
    """The number of workers, and the reason for it."""

    number: int
    why: str


def choose_workers(asked: NumWorkers, trainer: Trainer | None = None) -> Workers:
    """The workers of one process.

    Args:
        asked: a number is taken as it is.
        trainer: which trains; without one, as on a CPU.
    """
    if asked != "auto":
        return Workers(asked, "set")
    if trainer is None or trainer.strategy.root_device.type == "cpu":
        return Workers(0, "training on the CPU needs the cores itself")
    if shared_memory() < LEAST_SHARED_MEMORY:
        return Workers(0, "/dev/shm is below 1 GiB (docker run --shm-size=8g)")
    cores = own_cores(trainer)
    number = min(MOST, max(1, cores - 1))
    return Workers(number, f"{cores} cores for this process, one kept for training, at most {MOST}")


def own_cores(trainer: Trainer) -> int:
    """The cores of this process, if all processes on the node get equally many; at least 1."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    per_task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if isinstance(environment, SLURMEnvironment) and per_task.isdecimal():
        return max(1, min(available_cores(), int(per_task)))  # a process is a task of Slurm
    return max(1, available_cores() // max(1, trainer.num_devices))


def available_cores() -> int:
    """Cores that this process may use, by its affinity and its control groups; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, int(min(count, cpu_quota())))


def cpu_quota(root: Path = Path("/")) -> float:
    """Cores that the control groups of this process allow; infinity without a limit.

    Both versions of Linux' control groups are read. A limit of any enclosing group holds.
    """
    limits = [math.inf]
    for line in _lines(root / "proc/self/cgroup"):
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
    quota, *period = " ".join(_lines(group / "cpu.max")).split() or ["max"]
    return math.inf if quota == "max" else int(quota) / int(*period or ["100000"])


def _limit_v1(group: Path) -> float:
    quota, period = (_lines(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else math.inf


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def shared_memory() -> float:
    """Bytes of ``/dev/shm``; infinity where the system has none."""
    try:
        return shutil.disk_usage("/dev/shm").total
    except OSError:
        return math.inf
