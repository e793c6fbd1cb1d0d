"""Captions and prompts that users write: the one reader of tables and lists.

A table is a ``.csv`` that begins with a line of column names, or a ``.jsonl`` with an object a
line. Its columns are ``path`` (or ``file``) and ``caption`` (or ``prompt``); others are ignored. A
list has a prompt a line. White space within a caption counts as one space.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from unicodedata import normalize

from vidiff.files import read_text
from vidiff.folders import EXTENSIONS
from vidiff.formatting import listed

Row = dict[str, Any]

TABLES = (".csv", ".jsonl")
LISTS = (".txt",)
FOLDER_TABLES = ("captions.csv", "captions.jsonl")

_NOT_READ = (
    *(".json", ".tsv", ".yaml", ".yml", ".xml", ".html", ".parquet", ".arrow", ".npy", ".pkl"),
    *(".xlsx", ".xls", ".ods", ".docx", ".doc", ".odt", ".pdf", ".rtf", ".zip", ".gz"),
)
_NAMES = {"path": ("path", "file"), "caption": ("caption", "prompt")}
"""What a column may be called; the first that a row has counts."""
_A_ROW = re.compile(rf'[^",]+({"|".join(map(re.escape, EXTENSIONS))})"?,', re.IGNORECASE)
"""What a line begins with that is a row, and not a part of a caption."""
_A_FILE = re.compile(r"[^\s;]*([/\\]|\.[A-Za-z][A-Za-z0-9]{0,7}$)[^\s;]*")
_FROM_A_ROOT = re.compile(r"\.{0,2}/|~/|[A-Za-z]:\\|\\\\")


def read_table(table: Path, root: Path, *, outside: str = "refuse") -> dict[str, str]:
    """Captions of a table by file, each as ``file_key`` writes it.

    Paths are relative to ``root`` or within it; those that lead out of it are refused, or skipped.
    A ``ValueError`` names the line where the table is broken or a file has another caption.
    """
    captions: dict[str, str] = {}
    roots = [root.absolute(), root.resolve()]
    for line, (path, caption) in _rows(table, ("path", "caption")):
        place, key = f"{table}, line {line}: {path!r}", _inside(path, roots)
        if key is None and outside != "skip":
            raise ValueError(f"{place} must be a path within {root}, without '..'")
        if key is not None and captions.setdefault(key, caption) != caption:
            raise ValueError(f"{place} has a caption already; keep one")
    return captions


def folder_table(root: Path) -> dict[str, str]:
    """Captions by file from the table in ``root``, see ``read_table``; empty if it has none."""
    found = [root / name for name in FOLDER_TABLES if os.path.lexists(root / name)]
    if len(found) > 1:
        raise ValueError(f"{root} has both {' and '.join(FOLDER_TABLES)}; keep one")
    for table in found:
        if not table.is_file():
            raise ValueError(f"{table} is no file, nor a link to one; mend or remove it")
        return read_table(table, root)
    return {}


def read_list(path: Path) -> list[str]:
    """Prompts in their order: a line each, or the captions of a table.

    A ``ValueError`` if the file is missing, empty or broken, or of a kind that is not read.
    """
    ending = path.suffix.lower()
    if ending in _NOT_READ:
        raise ValueError(
            f"prompts {path}: {ending} is not read; save them as {', '.join((*LISTS, *TABLES))}"
        )
    if ending in TABLES:
        prompts = [caption for _, (caption,) in _rows(path, ("caption",))]
    else:
        # Not splitlines, which also cuts at signs that may stand within a prompt.
        prompts = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    if not prompts:
        raise ValueError(f"prompts {path} are empty")
    return prompts


def read_caption(path: Path) -> str:
    """The caption in a text file, as one line; errors are those of ``read_text``."""
    return _one_line(read_text(path))


def check_texts(paths: Iterable[Path]) -> None:
    """Read captions before anything depends on them; a ``ValueError`` names unreadable files."""
    paths = iter(paths)
    some = iter(lambda: list(islice(paths, 256)), [])
    with ThreadPoolExecutor(16) as pool:
        bad = [error for errors in pool.map(_errors, some) for error in errors]
    if bad:
        raise ValueError(listed(bad, 3, "; "))


def _errors(paths: Sequence[Path]) -> list[str]:
    errors = []
    for path in paths:
        try:
            read_caption(path)
        except ValueError as error:
            errors.append(str(error))
    return errors


def read_prompts(words: str) -> list[str]:
    """Prompts that are written out, with semicolons between them, or those of a file."""
    if (path := prompt_file(words)) is not None:
        return read_list(path)
    prompts = [part.strip() for part in words.removeprefix("\ufeff").split(";") if part.strip()]
    if not prompts:
        raise ValueError(
            f"no prompt in {words!r}: give a .txt, .csv or .jsonl file, or 'text;text'"
        )
    return prompts


def prompt_file(words: str) -> Path | None:
    """The file that is meant by prompts; None if they are written out.

    A ``ValueError`` if they look like a path to no file, or like a prompt and there is such a file.
    """
    if looks_like_file(words):
        path = Path(words).expanduser() if words.startswith("~/") else Path(words)
        if os.path.exists(path) and not os.path.isdir(path):
            return path
        state = "is a folder" if os.path.isdir(path) else "does not exist"
        raise ValueError(
            f"file of prompts {path} {state}; a text that looks like a path needs a semicolon at "
            f"its end: '{words};'"
        )
    if not words.strip() or not os.path.isfile(words):
        return None
    if "/" in words:
        return Path(words)
    raise ValueError(
        f"prompts {words!r} may be the file of this name or a text: write './{words}' for the "
        f"file, '{words};' for the text"
    )


def looks_like_file(words: str) -> bool:
    """Whether prompts look like a file's path: by an ending, or slashes without spaces."""
    if "\n" in words or words.rstrip().endswith(";") or len(words) > 1024:
        return False
    known = os.path.splitext(words)[1].lower() in (*LISTS, *TABLES, *_NOT_READ)
    return known or bool(_A_FILE.fullmatch(words) or _FROM_A_ROOT.match(words))


def file_key(path: str) -> str:
    """A relative path in the form that tables and folders are compared by.

    Slashes of Windows and accents apart from their letters (macOS) make no difference.
    """
    return normalize("NFC", str(PurePosixPath(path.replace("\\", "/"))))


def text_beside(video: Path) -> Path | None:
    """The text file of a video's name next to it, if there is one."""
    name = video.stem if video.suffix.lower() in EXTENSIONS else video.name
    names = dict.fromkeys([name, normalize("NFC", name), normalize("NFD", name)])
    texts = (video.with_name(f"{one}.txt") for one in names)
    return next((text for text in texts if text.is_file()), None)


def _inside(path: str, roots: Sequence[Path]) -> str | None:
    """``path`` as ``file_key`` writes it; None if it leads out of the root."""
    plain = path.replace("\\", "/")
    parts = PurePosixPath(plain).parts
    if not parts or ".." in parts or PureWindowsPath(path).drive:
        return None
    if not plain.startswith("/"):
        return file_key(plain)
    for found in (Path(plain), Path(plain).resolve()):
        for root in roots:
            if found != root and found.is_relative_to(root):
                return file_key(found.relative_to(root).as_posix())
    return None


def _rows(table: Path, wanted: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Each row's line number, and its values of the wanted columns."""
    text = read_text(table)
    rows = _csv_rows if table.suffix.lower() == ".csv" else _jsonl_rows
    for line, row in rows(table, text, wanted):
        values = [_value(row, name) for name in wanted]
        texts = [value.strip() for value in values if isinstance(value, str)]
        if len(texts) < len(wanted) or ("path" in wanted and not texts[0]):
            needed = " and ".join(f"a {name}" for name in wanted)
            raise ValueError(f"{table}, line {line}: needs {needed}, as text")
        yield line, [*texts[:-1], _one_line(texts[-1])]


def _value(row: Mapping[str, Any], name: str) -> Any:
    """What a row has in a column, whichever of its names that goes by; None if it lacks it."""
    there = [row[one] for one in _NAMES[name] if one in row]
    return next((value for value in there if value), there[0] if there else None)


def _csv_rows(table: Path, text: str, wanted: Sequence[str]) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    header: list[str] | None = None
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ValueError(
                f"{table}, line {first}: a quote that opens here is not closed, or stands within a "
                f"caption; write such a quote twice ({error})"
            ) from error
        if header is None:
            header = [cell.strip() for cell in cells or ()]
            _check_header(table, header, wanted)
        elif cells is None:
            return
        elif len(cells) > len(header):
            raise ValueError(
                f"{table}, line {first}: more cells than columns; put a caption that has commas in "
                "double quotes"
            )
        elif any(_A_ROW.match(line) for cell in cells for line in cell.split("\n")[1:]):
            raise ValueError(
                f"{table}, line {first}: a quote that opens here is not closed before the next "
                f"row; it ends in line {reader.line_num}"
            )
        elif cells:
            yield first, dict(zip(header, cells, strict=False))


def _check_header(table: Path, header: Sequence[str], wanted: Sequence[str]) -> None:
    line = ",".join(wanted)
    for name in wanted:
        found = [column for column in header if column in _NAMES[name]]
        if not found:
            cut = next((sign for sign in ";\t|" if len(header) == 1 and sign in header[0]), None)
            hint = f"; it has {cut!r} between cells, not commas" if cut else ""
            raise ValueError(
                f"{table} must begin with a line '{line}': no column {name!r} in "
                f"{','.join(header)!r}{hint}"
            )
        if len(set(found)) < len(found):
            raise ValueError(f"{table}, line 1: two columns are called {found[0]!r}; keep one")


def _jsonl_rows(table: Path, text: str, wanted: Sequence[str]) -> Iterator[tuple[int, Row]]:
    form = ", ".join(f'"{name}": "…"' for name in wanted)
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            row, why = None, f"no JSON ({error})"
        else:
            why = f"got {line.strip()[:60]!r}"
        if not isinstance(row, dict):
            raise ValueError(f"{table}, line {number}: needs an object {{{form}}}: {why}")
        yield number, row


def _one_line(text: str) -> str:
    return " ".join(text.split())
