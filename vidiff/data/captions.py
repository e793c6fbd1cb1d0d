"""Captions of a folder: ``captions.csv``, ``captions.jsonl``, or a ``.txt`` beside a video."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np

from vidiff import captions

TABLES = ("captions.csv", "captions.jsonl")
_SHOWN = 3  # files in one message


class PackedStrings(Sequence[str]):
    """Many strings in two arrays.

    A list of millions of ``str`` costs several times its letters, and each data loader process
    gets a copy of it, as counting references writes to its pages.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        # surrogateescape: file names may be any bytes.
        parts = [string.encode("utf-8", "surrogateescape") for string in strings]
        self._ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        self._letters = np.frombuffer(b"".join(parts), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"string {index} of {len(self)}")
        index %= len(self)
        begin = self._ends[index - 1] if index else 0
        return self._letters[begin : self._ends[index]].tobytes().decode("utf-8", "surrogateescape")


def read_table(root: Path) -> dict[str, str]:
    """Captions by file from the table in ``root``, see ``vidiff.captions``; empty if it has none.

    Raises:
        ValueError: if there are two tables, or one is broken, has a path that leads out of
            ``root``, or two captions of a file; the message has the line's number.
    """
    found = [root / name for name in TABLES if os.path.lexists(root / name)]
    if len(found) > 1:
        raise ValueError(f"{root} has both {' and '.join(TABLES)}; keep one")
    for table in found:
        if not table.is_file():
            raise ValueError(f"{table} is no file, nor a link to one; mend or remove it")
        return captions.read_table(table, root)
    return {}


def check_texts(paths: Iterable[Path]) -> None:
    """Read the text files of captions before anything depends on them.

    Raises:
        ValueError: if some cannot be read; names them.
    """
    paths = iter(paths)
    some = iter(lambda: list(islice(paths, 256)), [])
    with ThreadPoolExecutor(16) as pool:
        bad = [error for errors in pool.map(_errors, some) for error in errors]
    if bad:
        more = f"; and {len(bad) - _SHOWN} more files" if len(bad) > _SHOWN else ""
        raise ValueError("; ".join(bad[:_SHOWN]) + more)


def _errors(paths: Sequence[Path]) -> list[str]:
    errors = []
    for path in paths:
        try:
            captions.read_caption(path)
        except ValueError as error:
            errors.append(str(error))
    return errors
