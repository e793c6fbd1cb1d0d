"""Launcher interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vidiff.registry import kind

State = Literal["waiting", "running", "succeeded", "failed"]


@dataclass(frozen=True)
class Job:
    """A command, where it runs, and what it needs.

    Attributes:
        name: for lists of jobs; letters, digits, ``-``, ``_`` and ``.``.
        folder: of the run, absolute, on a file system that the job sees; logs go there.
        cwd: working folder, absolute.
        env: variables besides those of this process.
        num_devices: devices (and processes) of each node.
    """

    name: str
    words: tuple[str, ...]
    folder: Path
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    num_devices: int = 1
    num_nodes: int = 1
    on_gpu: bool = False


class Handle(ABC):
    """A job that was started."""

    @property
    def record(self) -> dict[str, Any] | None:
        """Plain values by which ``Launcher.attach`` finds the job again; None if none can."""
        return None

    @abstractmethod
    def state(self) -> State:
        """The job's state, without waiting; called several times a second."""

    @abstractmethod
    def stop(self) -> None:
        """End the job, with a few seconds to end by itself; does nothing if it has ended."""


@kind("launcher")
class Launcher(ABC):
    """Runs the jobs of an ablation.

    A job is a command that a user could type, never an object of this process. One that is started
    twice does its work once: the command sees to that.

    Attributes:
        num_at_once: jobs that may be waiting and running together.
    """

    num_at_once: int

    @abstractmethod
    def start(self, job: Job) -> Handle:
        """Start a job, or hand it to a queue; a ``ValueError`` if it asks for what is not there."""

    def attach(self, record: Mapping[str, Any]) -> Handle | None:
        """The job of an earlier process, by its handle's record, if it still waits or runs."""
        return None

    def close(self) -> None:  # noqa: B027 (most hold nothing)
        """Release what is held besides the jobs."""
