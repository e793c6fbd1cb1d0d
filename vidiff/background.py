"""Work beside the caller: a few threads, a bounded queue, errors that surface."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore

from vidiff.cores import available_cores

MOST_THREADS = 4


class Background:
    """A few threads that work off calls, the first given first.

    A caller that is faster than they are waits while ``num_waiting`` calls do, so that calls do not
    pile up in memory. All calls are made, also after one that failed. Leaving it, as a context
    manager, waits for all calls and raises the first error of one. There is a thread for each core
    by default, four at most.
    """

    def __init__(self, num_threads: int | None = None, num_waiting: int = 4) -> None:
        num_threads = num_threads or min(MOST_THREADS, available_cores())
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="vidiff-background")
        self._num_places = num_threads + num_waiting
        self._places = Semaphore(self._num_places)
        self._errors: list[Exception] = []

    def submit(self, call: Callable[[], object]) -> None:
        """Queue a call; waits for a free place."""
        self._places.acquire()
        self._threads.submit(self._make, call)

    def check(self) -> None:
        """Raise the first error of the calls made so far, once."""
        if self._errors:
            raise self._errors.pop(0)

    def drain(self) -> None:
        """Wait for all calls, and raise the first error of one."""
        for _ in range(self._num_places):
            self._places.acquire()
        self._places.release(self._num_places)
        self.check()

    def __enter__(self) -> Background:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._threads.shutdown(wait=True)
        if kind is None:
            self.check()

    def _make(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self._errors.append(error)
        finally:
            self._places.release()
