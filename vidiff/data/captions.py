"""Captions of a folder: ``captions.csv``, ``captions.jsonl``, or a ``.txt`` beside a video."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import overload

import numpy as np

TABLES = ("captions.csv", "captions.jsonl")


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
    """Path relative to ``root`` -> caption, from the table in ``root``; empty if it has none.

    Raises:
        ValueError: if there are two tables, or one has a bad line, a path that leaves ``root`` or
            a file twice; the message has the line's number.
    """
    found = [root / name for name in TABLES if (root / name).is_file()]
    if len(found) > 1:
        raise ValueError(f"{root} has both {' and '.join(TABLES)}; keep one")
    captions: dict[str, str] = {}
    for table in found:
        rows = _csv_rows(table) if table.suffix == ".csv" else _jsonl_rows(table)
        for line, path, caption in rows:
            relative = _inside(root, path, f"{table}, line {line}")
            if relative in captions:
                raise ValueError(f"{table}, line {line}: {path!r} has a caption already; keep one")
            captions[relative] = " ".join(caption.split())
    return captions


def read_text(path: Path) -> str:
    """The caption in a text file, as one line."""
    return " ".join(path.read_text(encoding="utf-8-sig", errors="replace").split())


def _csv_rows(table: Path) -> Iterator[tuple[int, str, str]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if not {"path", "caption"} <= set(reader.fieldnames or ()):
            raise ValueError(
                f"{table} must begin with a line 'path,caption', got {reader.fieldnames}"
            )
        for row in reader:
            if not row["path"] or row["caption"] is None or None in row:
                raise ValueError(
                    f"{table}, line {reader.line_num}: needs a path and a caption; "
                    "put a caption that has commas in double quotes"
                )
            yield reader.line_num, row["path"], row["caption"]


def _jsonl_rows(table: Path) -> Iterator[tuple[int, str, str]]:
    with table.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                path, caption = row["path"], row["caption"]
            except (ValueError, KeyError, TypeError):
                path = caption = None
            if not isinstance(path, str) or not isinstance(caption, str):
                raise ValueError(
                    f'{table}, line {number}: needs an object {{"path": "…", "caption": "…"}}'
                )
            yield number, path, caption


def _inside(root: Path, path: str, where: str) -> str:
    """``path`` as the folder scan writes it."""
    parts = PurePosixPath(path.replace(os.sep, "/")).parts
    if not parts or path.startswith("/") or Path(path).is_absolute() or ".." in parts:
        raise ValueError(f"{where}: {path!r} must be a path within {root}, without '..'")
    return "/".join(parts)
