"""Where in a config a mistake is: its file and line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from os.path import isfile
from pathlib import Path

from vidiff.errors import UsageError
from vidiff.yaml_files import lines_of, read_text


def with_place(message: str, configs: Iterable[str | Path], words: Sequence[str] = ()) -> str:
    """Returns an error with the file and the line that it comes from, where that can be told.

    Args:
        message: that begins with the key of what is wrong, as ``vidiff.cli.errors`` writes it.
        configs: the files, of which later ones win.
        words: the command line, which wins over the files.
    """
    found = re.match(r"unknown option '([^']+)'|([\w.]+): ", message)
    if not found:
        return message
    key = found[1] or found[2]
    if any(re.match(rf"--{re.escape(key)}([=.+]|$)", word) for word in words):
        return message
    for config in reversed(list(configs)):
        if line := _line(Path(config), key):
            return f"{message} ({config}, line {line})"
    return message


def _line(config: Path, key: str) -> int | None:
    if not isfile(config):
        return None
    try:
        lines = lines_of(read_text(config))
    except UsageError:
        return None
    return next((line for path, line in lines.items() if _dotted(path) == key), None)


def _dotted(path: Sequence[str]) -> str:
    """The option that a place in a file stands for: ``model.denoiser.depth``."""
    return ".".join(part for part in path if part != "init_args" and not part.isdigit())
