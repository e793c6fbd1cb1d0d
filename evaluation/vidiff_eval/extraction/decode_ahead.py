"""Decoding by threads, ahead of the computation."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from vidiff.checks import at_least
from vidiff.cores import available_cores

if TYPE_CHECKING:
    from torch import Tensor

    from vidiff_eval.clips.clip import Clip

T = TypeVar("T")

MOST_THREADS = 8


def default_workers() -> int:
    """Decoding threads of a process: the cores that it may use, shared with its neighbours."""
    neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(MOST_THREADS, available_cores() // neighbours))


def in_batches(
    jobs: Sequence[tuple[T, tuple[Clip, ...]]],
    run: Callable[[list[tuple[T, tuple[Tensor, ...]]]], None],
    *,
    batch_size: int = 8,
    workers: int | None = None,
    progress: bool = True,
    label: str = "",
) -> list[tuple[T, Clip, str]]:
    """Decode the clips of jobs, and run the jobs in batches of one shape, in their order.

    Threads decode while ``run`` computes. Shows a bar with the jobs per second, if there are any.

    Args:
        jobs: anything, with the clips to read for it.
        run: takes jobs with the pixels of their clips, each (3, f, h, w); in this thread.
        batch_size: jobs at a time.
        workers: threads; by default ``default_workers``.
        progress: whether to show the bar.
        label: of the bar.

    Returns:
        Jobs that were not run, with the clip whose file is damaged and why.

    Raises:
        ValueError: from reading or running, with what is wrong in the user's files.
    """
    from tqdm import tqdm

    at_least(1, batch_size=batch_size, workers=workers)
    damaged: list[tuple[T, Clip, str]] = []
    batch: list[tuple[T, tuple[Tensor, ...]]] = []
    hidden = not (progress and jobs)
    bar = tqdm(total=len(jobs), desc=label or None, unit="clip", disable=hidden)
    with bar, closing(decoded(jobs, workers, batch_size)) as stream:
        for job, found in stream:
            if isinstance(found, Damage):
                damaged.append((job, found.clip, found.reason))
            else:
                if batch and _shapes(batch[0][1]) != _shapes(found):
                    run(batch)
                    batch = []
                batch.append((job, found))
            if len(batch) == batch_size:
                run(batch)
                batch = []
            bar.update()
        if batch:
            run(batch)
    return damaged


@dataclass(frozen=True)
class Damage:
    """A clip whose file turned out to be damaged, and how."""

    clip: Clip
    reason: str


def decoded(
    jobs: Iterable[tuple[T, tuple[Clip, ...]]], workers: int | None = None, ahead: int = 8
) -> Generator[tuple[T, tuple[Tensor, ...] | Damage], None, None]:
    """Jobs with the pixels of their clips, each (3, f, h, w), in the order of the jobs.

    Threads suffice, as PyAV lets others run while it decodes. At most ``workers + ahead`` jobs
    are decoded and not yet taken, so memory does not grow with their number.
    """
    workers = default_workers() if workers is None else workers
    waiting: deque[tuple[T, Future[tuple[Tensor, ...] | Damage]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for job, clips in jobs:
            waiting.append((job, pool.submit(_read, clips)))
            if len(waiting) == workers + ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(clips: tuple[Clip, ...]) -> tuple[Tensor, ...] | Damage:
    from vidiff.video import VideoError

    found = []
    for clip in clips:
        try:
            found.append(clip.read())
        except VideoError as error:
            return Damage(clip, error.reason)
    return tuple(found)


def _shapes(pixels: tuple[Tensor, ...]) -> list[tuple[int, ...]]:
    return [tuple(one.shape) for one in pixels]
