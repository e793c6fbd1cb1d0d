"""Decoding by threads, ahead of the computation."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidiff.checks import at_least
from vidiff.cores import available_cores

if TYPE_CHECKING:
    from torch import Tensor

    from vidiff_eval.clips.clip import Clip

MOST_THREADS = 8


@dataclass(frozen=True)
class Job:
    """Clips that are read together, and the key under which the result is stored."""

    key: str
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Damage:
    """Which clip of a job has a damaged file, and how."""

    place: int
    reason: str


Pixels = tuple["Tensor", ...]
"""Of the clips of a job, each (3, f, h, w) in [-1, 1]."""

Batch = list[tuple[Job, Pixels]]
"""Jobs whose pixels have the same shapes."""


def default_workers() -> int:
    """Decoding threads of a process: the cores that it may use, shared with its neighbours."""
    neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(MOST_THREADS, available_cores() // neighbours))


def in_batches(
    jobs: Sequence[Job],
    run: Callable[[Batch], None],
    *,
    batch_size: int = 8,
    workers: int | None = None,
    progress: bool = True,
    label: str = "",
) -> dict[str, Damage]:
    """Decode the clips of jobs, and run the jobs in batches, in their order.

    Threads decode while ``run`` computes. Shows a bar with the jobs per second, if there are any.

    Args:
        jobs: with the clips to read for each.
        run: takes a batch; in this thread.
        batch_size: jobs at a time.
        workers: threads; by default ``default_workers``.
        progress: whether to show the bar.
        label: of the bar.

    Returns:
        By key, the damage of jobs that were not run.

    Raises:
        ValueError: from reading or running, with what is wrong in the user's files.
    """
    from tqdm import tqdm

    at_least(1, batch_size=batch_size, workers=workers)
    damaged: dict[str, Damage] = {}
    batch: Batch = []
    hidden = not (progress and jobs)
    bar = tqdm(total=len(jobs), desc=label or None, unit="clip", disable=hidden)
    with bar, closing(decoded(jobs, workers, batch_size)) as stream:
        for job, found in stream:
            if isinstance(found, Damage):
                damaged[job.key] = found
            else:
                if len(batch) == batch_size or (batch and _shapes(batch[0][1]) != _shapes(found)):
                    run(batch)
                    batch = []
                batch.append((job, found))
            bar.update()
        if batch:
            run(batch)
    return damaged


def decoded(
    jobs: Iterable[Job], workers: int | None = None, ahead: int = 8
) -> Generator[tuple[Job, Pixels | Damage], None, None]:
    """Jobs with the pixels of their clips, in the order of the jobs.

    Threads suffice, as PyAV releases the interpreter's lock. At most ``workers + ahead`` jobs are
    decoded and not yet taken, so memory does not grow with their number.
    """
    workers = default_workers() if workers is None else workers
    waiting: deque[tuple[Job, Future[Pixels | Damage]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for job in jobs:
            waiting.append((job, pool.submit(_read, job)))
            if len(waiting) == workers + ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(job: Job) -> Pixels | Damage:
    from vidiff.video import VideoError

    found = []
    for place, clip in enumerate(job.clips):
        try:
            found.append(clip.read())
        except VideoError as error:
            return Damage(place, error.reason)
    return tuple(found)


def _shapes(pixels: Pixels) -> list[tuple[int, ...]]:
    return [tuple(one.shape) for one in pixels]
