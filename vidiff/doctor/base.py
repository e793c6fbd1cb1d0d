"""Check interface: what ``vidiff doctor`` looks at, and the lines it prints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from vidiff.registry import kind

State = Literal["ok", "optional", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str  # what was looked at
    found: str  # what is there, in a few words
    next_step: str = ""  # what to do; empty exactly where all is well
    state: State = "ok"  # "optional" could be added or be faster, "wrong" is to be mended
    facts: dict[str, Any] = field(default_factory=dict)  # the same for programs, as plain values

    def __post_init__(self) -> None:
        assert (self.state == "ok") == (not self.next_step), f"{self.name}: what is to be done?"


def judged(
    name: str, found: str, step: str, facts: dict[str, Any], *, is_wrong: bool = False
) -> Finding:
    """The line of what is ok without a next step, else wrong or optional."""
    state: State = "wrong" if is_wrong else "optional"
    return Finding(name, found, step, state if step else "ok", facts)


@kind("check")
class Check(ABC):
    """A group of lines of ``vidiff doctor``.

    It is started without Lightning, downloads nothing, and takes a second at most.
    """

    place: ClassVar[int] = 100  # where it is printed: the lowest first

    @abstractmethod
    def look(self) -> list[Finding]:
        """Look at this machine; what is missing is a finding, not an error."""


def find_weights(name: str, use: str, find: Callable[[], Path]) -> Finding:
    """Whether a network's weights are on this machine; ``use`` is what needs them.

    ``find`` returns their path, or raises a ``ValueError`` with where it looked and what to do.
    """
    path: str | None
    try:
        path, step = str(find()), ""
    except ValueError as error:
        path, step = None, str(error)
    return judged(name, f"{path or 'not here'}; for {use}", step, {"path": path, "use": use})
