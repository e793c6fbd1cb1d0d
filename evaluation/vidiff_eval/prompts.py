"""Files of prompts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

COLUMNS = ("path", "caption")
ALSO = {"path": "file", "caption": "prompt"}
"""What ``vidiff sample`` calls them in ``samples.jsonl``."""


def read_prompts(path: Path) -> dict[str, str] | list[str]:
    """Prompts by file (``.csv`` that begins with ``path,caption``; ``.jsonl``), or one a line.

    A prompt in double quotes may have commas and line breaks, which count as
    spaces. Paths are relative to the folder of videos. Empty lines count for nothing.

    Raises:
        ValueError: if the file is missing, empty or broken, or names a video twice; says where.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"prompts {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"prompts {path} are no UTF-8 text") from error
    if not text.strip():
        raise ValueError(f"prompts {path} are empty")
    rows = {".csv": _csv_rows, ".jsonl": _jsonl_rows}.get(path.suffix.lower())
    if rows is None:
        # Not splitlines, which also cuts at signs that may stand within a prompt.
        return [line.strip() for line in text.split("\n") if line.strip()]
    prompts: dict[str, str] = {}
    for line, row in rows(text, path):
        file, prompt = (row.get(name) or row.get(ALSO[name]) for name in COLUMNS)
        if not (isinstance(file, str) and isinstance(prompt, str) and prompt.strip()):
            raise ValueError(f"prompts {path}, line {line}: needs a path and a caption")
        file, prompt = str(PurePosixPath(file.replace("\\", "/"))), " ".join(prompt.split())
        if prompts.setdefault(file, prompt) != prompt:
            raise ValueError(f"prompts {path}, line {line}: {file} has another prompt already")
    return prompts


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    names = list(reader.fieldnames or ())
    if missing := [name for name in COLUMNS if name not in names and ALSO[name] not in names]:
        raise ValueError(f"prompts {path} begin with {','.join(names)!r}: no column {missing[0]!r}")
    try:
        for row in reader:
            if None in row:
                raise ValueError(
                    f"prompts {path}, line {reader.line_num}: more cells than columns; put a "
                    "caption that has commas in double quotes"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"prompts {path}, line {reader.line_num}: {error}") from error


def _jsonl_rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"prompts {path}, line {number}: no JSON ({error})") from error
        yield number, row if isinstance(row, dict) else {}
