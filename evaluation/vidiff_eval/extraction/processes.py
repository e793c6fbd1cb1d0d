"""Several processes that evaluate together, started as ``torchrun`` does: gloo, on the CPU.

Each takes features from its share of the clips; all meet, and read what all have found from the
shared store. So a score is the same for any number of processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = timedelta(hours=12)
"""How long a process waits for the slowest. One that dies is noticed at once, by its socket."""


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes that ``torchrun`` started, if it did, and leave them at the end.

    A group that exists already, such as a trainer's, is used and stays.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or _group():
        yield
        return
    from torch import distributed

    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
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
    return int(_group().get_rank()) if _group() else 0


def world_size() -> int:
    """How many processes there are."""
    return int(_group().get_world_size()) if _group() else 1


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
    values: list[Any] = [None] * world_size()
    _group().all_gather_object(values, value)
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


def _group() -> Any:
    """``torch.distributed`` if processes are joined; else None, as without torch imported."""
    distributed = sys.modules.get("torch.distributed")
    joined = distributed and distributed.is_available() and distributed.is_initialized()
    return distributed if joined else None
