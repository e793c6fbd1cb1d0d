"""How many dataloader workers a process gets: ``auto`` counts its part of the node's cores."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from typing import Literal

from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment

from vidiff.cores import available_cores

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
    """The workers of one process: as many as asked for, or by its device, a CPU without trainer."""
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


def shared_memory() -> float:
    """Bytes of ``/dev/shm``; infinity where the system has none."""
    try:
        return shutil.disk_usage("/dev/shm").total
    except OSError:
        return math.inf
