"""Mistakes in components: whose an error is, and in which line."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from vidiff.registry import Component, all_components, class_path

OURS = ("vidiff", "vidiff_eval")  # packages whose errors are told as they are


@dataclass(frozen=True)
class Fault:
    """An error in the code of a plugin."""

    component: Component | None  # whose code it is in; None where no registered class takes part
    file: str
    line: int  # where the error was raised or let through
    message: str
    package: str  # of the plugin; a file's module

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
    """The plugin's code that an error comes from: of ``suspect``, or of any; None if of none."""
    foreign = [suspect] if suspect else [c for c in all_components() if c.package not in OURS]
    packages = {c.package for c in foreign}
    for one in reversed(list(_chain(error))):
        message = f"{type(one).__name__}: {' '.join(str(one).split())}".rstrip(": ")
        # Of the frames in a plugin's code the innermost, and the innermost object of a component.
        frames = [(f, n) for f, n in walk_tb(one.__traceback__) if _package(f) in packages]
        if frames:
            frame, line = frames[-1]
            selves = [type(f.f_locals.get("self")) for f, _ in frames]
            owners = [c for cls in selves for c in foreign if cls is c.cls]
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
        return class_path(cls)
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


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
