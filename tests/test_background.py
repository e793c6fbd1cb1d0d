import threading

import pytest
from processes import wait

from vidiff.background import Background


def test_calls_are_made_beside_the_caller_the_first_first():
    made, threads = [], set()

    def call(index):
        threads.add(threading.current_thread())
        made.append(index)

    with Background(num_threads=1) as background:
        for index in range(20):
            background.submit(lambda index=index: call(index))
        background.drain()
        assert made == list(range(20))
        background.submit(lambda: call(20))
    assert made == list(range(21))  # leaving waits
    assert threading.main_thread() not in threads


def test_a_fast_caller_waits():
    """At most so many calls are under way as there are threads and places."""
    go, begun = threading.Semaphore(0), threading.Semaphore(0)
    submitted = []

    def submit(background):
        for index in range(6):
            background.submit(lambda: (begun.release(), go.acquire()))
            submitted.append(index)
        begun.release()

    with Background(num_threads=2, num_waiting=1) as background:
        caller = threading.Thread(target=submit, args=(background,))
        caller.start()
        begun.acquire()
        begun.acquire()
        wait(lambda: len(submitted) == 3)
        caller.join(timeout=0.2)  # to go on, if it could
        assert caller.is_alive()
        assert len(submitted) == 3
        for _ in range(6):
            go.release()
        caller.join()
    assert len(submitted) == 6


def test_an_error_surfaces_once_and_stops_no_other_call():
    made, go = [], threading.Event()

    def fail():
        go.wait()
        raise OSError("disk full")

    with Background(num_threads=1) as background:
        background.submit(fail)
        background.submit(lambda: made.append(1))
        go.set()
        with pytest.raises(OSError, match="disk full"):
            background.drain()
        background.submit(lambda: made.append(2))
    assert made == [1, 2]


def test_leaving_raises_the_error_of_a_call_but_not_over_another():
    def fail():
        raise OSError("disk full")

    def leave(error):
        with Background() as background:
            background.submit(fail)
            if error is not None:
                raise error

    with pytest.raises(OSError, match="disk full"):
        leave(None)
    with pytest.raises(ValueError, match="mine"):
        leave(ValueError("mine"))
