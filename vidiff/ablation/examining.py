"""Many runs checked side by side, by as many processes as there are cores.

A process takes seconds to import what builds models, so that few cells are left to the caller's.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from vidiff.ablation.cells import Run
from vidiff.ablation.nodes import Config

if TYPE_CHECKING:
    from vidiff.ablation.checking import Checker, RunCosts

SHARE = 40
"""Cells that are worth a process of their own."""

CHUNK = 20
"""Runs that a process is given at a time: neighbours, which have much in common."""


def examine(
    runs: Sequence[Run], checker: Callable[[], Checker], first: Sequence[Config] = ()
) -> list[RunCosts | str]:
    """Check and count runs.

    Args:
        runs: to be checked.
        checker: gives this process its checker.
        first: as ``Checker`` takes them.

    Returns:
        What each run takes, or what is wrong with it in one line.
    """
    configs = [run.config for run in runs]
    num_cells = len({run.cell.name for run in runs})  # its seeds differ in nothing that is built
    num_processes = min(_num_cores(), num_cells // SHARE)
    if num_processes < 2:
        return [checker().examine(config) for config in configs]
    print(f"checking {len(configs):,} runs, {num_processes} at once", file=sys.stderr, flush=True)
    # Not forked: torch has threads, which a fork would lose.
    context = multiprocessing.get_context("spawn")
    chunks = [configs[start : start + CHUNK] for start in range(0, len(configs), CHUNK)]
    with ProcessPoolExecutor(num_processes, context, _begin, (list(first),)) as pool:
        return [found for chunk in pool.map(_examine, chunks) for found in chunk]


_CHECKERS: list[Checker] = []
"""The one of this process."""


def _begin(first: Sequence[Config]) -> None:
    import torch

    from vidiff.ablation.checking import Checker

    torch.set_num_threads(1)  # every core has a process
    _CHECKERS.append(Checker(first))


def _examine(configs: Sequence[Config]) -> list[RunCosts | str]:
    return [_CHECKERS[0].examine(config) for config in configs]


def _num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
