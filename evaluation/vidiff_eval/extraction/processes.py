"""Several processes that evaluate together, started as ``torchrun`` does: gloo, on the CPU.

Each takes features from its share of the clips; all meet, and read what all have found from the
shared store. So a score is the same for any number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = timedelta(hours=12)
"""How long a process waits for the slowest. One that dies is noticed at once, by its socket."""


@contextmanager
def joined() -> Iterator[Callable[[str], str]]:
    """Join the other processes that ``torchrun`` started, if it did, and leave them at the end.

    A group that exists already, such as a trainer's, is used and stays. Yields ``device_of``.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or _is_joined():
        yield device_of
        return
    from torch import distributed

    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield device_of
    finally:
        distributed.destroy_process_group()


def device_of(name: str) -> str:
    """The device that ``auto`` or ``cuda`` means on this process: each of a machine has its own.

    Raises:
        ValueError: if ``name`` is no device, or of a kind that this machine has not.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise ValueError(f"{name!r} is no device: give auto, cpu, cuda or cuda:1") from error
    if kind == "cuda" and not gpus:
        raise ValueError(f"device {name}: torch sees no GPU here; give cpu or auto")
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % gpus}" if name == "cuda" else name


def rank() -> int:
    """Which of the processes this is, from 0."""
    if not _is_joined():
        return 0
    from torch import distributed

    return int(distributed.get_rank())


def world_size() -> int:
    """How many processes there are."""
    if not _is_joined():
        return 1
    from torch import distributed

    return int(distributed.get_world_size())


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return rank() == 0


def share(items: Sequence[T]) -> Sequence[T]:
    """The items of this process; each item is in the share of exactly one."""
    return items[rank() :: world_size()]


def gather(value: T) -> list[T]:
    """The values of all processes, by rank; a collective, which all have to call."""
    if world_size() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


@contextmanager
def all_or_none() -> Iterator[None]:
    """Work at whose end all processes meet; an error of one is raised on all.

    Call no other collective inside: the remaining ranks would wait forever for the one that failed.

    Raises:
        ValueError: if another process raised one; says which process.
        RuntimeError: if another process raised something else.
    """
    own: Exception | None = None
    try:
        yield
    except Exception as error:
        own = error
    words = None if own is None else (isinstance(own, ValueError), f"{type(own).__name__}: {own}")
    failures = gather(words)
    if own is not None:
        raise own
    for place, failure in enumerate(failures):
        if failure is not None:
            is_users, text = failure
            raise (ValueError if is_users else RuntimeError)(f"process {place} stopped: {text}")


def _is_joined() -> bool:
    import sys

    if "torch" not in sys.modules:  # nothing can be joined that was never imported
        return False
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized()
