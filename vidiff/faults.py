"""Mistakes in components: whose an error is, and in which line."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from vidiff.registry import Component, list_kinds

OURS = ("vidiff", "vidiff_eval")
"""Packages whose errors are told as they are."""


@dataclass(frozen=True)
class Fault:
    """An error in the code of a plugin.

    Attributes:
        component: whose code it is in; None where no registered class takes part.
        file: that holds the code.
        line: of it, where the error was raised or let through.
        message: of the error.
        package: of the plugin; a file's module.
    """

    component: Component | None
    file: str
    line: int
    message: str
    package: str

    @property
    def place(self) -> str:
        """``file:line``."""
        return f"{shown(self.file)}:{self.line}"

    @property
    def in_command(self) -> bool:
        """Whether it is a command's."""
        return self.component is not None and self.component.kind == "command"

    def __str__(self) -> str:
        one = self.component
        who = f"{one.kind} {one.name!r}" if one else f"plugin {self.package!r}"
        told = f"{who} ({self.place}): {self.message}"
        return f"{told}; `vidiff check {check_word(one)}` shows more" if one else told


def fault_of(error: BaseException, suspect: Component | None = None) -> Fault | None:
    """Which plugin's code an error comes from; None if none's does.

    Args:
        error: that was caught.
        suspect: the only component that can be at fault.
    """
    every = [c for kind in list_kinds() for c in kind.components.values()]
    foreign = [suspect] if suspect else [c for c in every if c.package not in OURS]
    packages = {c.package for c in foreign}
    for one in reversed(list(_chain(error))):
        message = f"{type(one).__name__}: {' '.join(str(one).split())}".rstrip(": ")
        # Of the frames in a plugin's code the innermost, and the innermost object of a component.
        frames = [(f, n) for f, n in _frames(one.__traceback__) if _package(f) in packages]
        if frames:
            frame, line = frames[-1]
            owners = [c for f, _ in frames for c in foreign if _is_method_of(f, c)]
            owner = owners[-1] if owners else None
            return Fault(owner, frame.f_code.co_filename, line, message, _package(frame))
        # Called with other arguments than it takes: no frame of its own.
        if called := re.match(r"([\w.<>]+)\.(\w+)\(\) ", str(one)):
            for c in foreign:
                code = getattr(getattr(c.cls, called[2], None), "__code__", None)
                if code and c.cls.__qualname__ == called[1]:
                    return Fault(c, code.co_filename, code.co_firstlineno, message, c.package)
    return None


def place_of(cls: type) -> str:
    """``file:line`` of a class."""
    try:
        file, line = inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):  # made at run time
        return f"{cls.__module__}.{cls.__qualname__}"
    return f"{shown(file or '')}:{line}"


def shown(file: str | Path) -> str:
    """A path as a user would type it: from the working directory, if it is in there."""
    path, here = os.path.abspath(file), os.getcwd()
    return os.path.relpath(path, here) if path.startswith(here + os.sep) else path


def check_word(component: Component) -> str:
    """What ``vidiff check`` finds a component by: a plugin's file, else its kind and name."""
    module = sys.modules.get(component.package)
    file = getattr(module, "__file__", None)
    is_file = file is not None and not hasattr(module, "__path__") and component.package not in OURS
    return shown(file) if is_file and file else f"{component.kind}.{component.name}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_method_of(frame: FrameType, component: Component) -> bool:
    return type(frame.f_locals.get("self")) is component.cls
