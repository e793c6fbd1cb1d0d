"""Many runs checked side by side, on Linux by as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from vidiff.ablation.ask.cells import Run
from vidiff.ablation.ask.nodes import Config
from vidiff.cores import available_cores

if TYPE_CHECKING:
    from vidiff.ablation.check.checker import Checker, RunCosts

SHARE = 8
"""Cells that are worth a process of their own."""

CHUNK = 8
"""Runs that a process is given at a time: neighbours, which have much in common."""

_CHECKERS: list[Checker] = []
"""The one of this process, where it checks for another."""


def examine(runs: Sequence[Run], checker: Checker) -> list[RunCosts | str]:
    """What each run takes, or what is wrong with it in one line."""
    configs = [run.config for run in runs]
    num_cells = len({run.cell.name for run in runs})  # its seeds differ in nothing that is built
    num_processes = min(available_cores(), num_cells // SHARE)
    if num_processes < 2 or sys.platform != "linux":
        return [checker.examine(config) for config in configs]
    # Forked, as workers of data loaders are there: importing what builds models takes seconds.
    context = multiprocessing.get_context("fork")
    chunks = [configs[start : start + CHUNK] for start in range(0, len(configs), CHUNK)]
    with ProcessPoolExecutor(num_processes, context, _begin, (checker,)) as pool:
        return [found for chunk in pool.map(_examine, chunks) for found in chunk]


def _begin(checker: Checker) -> None:
    import torch

    torch.set_num_threads(1)  # every core has a process, and other threads were not forked
    _CHECKERS.append(checker)


def _examine(configs: Sequence[Config]) -> list[RunCosts | str]:
    return [_CHECKERS[0].examine(config) for config in configs]


def errors_of(runs: Sequence[Run], found: Sequence[RunCosts | str]) -> list[tuple[Run, str]]:
    """The runs in which something is wrong, and what."""
    pairs = zip(runs, found, strict=True)
    return [(run, said) for run, said in pairs if isinstance(said, str)]


def grouped(errors: Iterable[tuple[Run, str]]) -> list[str]:
    """A line for each mistake, that names the first cell that has it and counts the others."""
    by_message: dict[str, list[Run]] = {}
    for run, message in errors:
        by_message.setdefault(message, []).append(run)
    lines = []
    for message, runs in by_message.items():
        cells = list(dict.fromkeys(run.cell.name for run in runs))
        others = f" and {len(cells) - 1} more cells" if len(cells) > 1 else ""
        lines.append(f"{cells[0]}{others}: {message}")
    return lines
