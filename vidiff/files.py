"""Files that are whole or absent, text that users wrote, and checksums."""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

_UMASK = os.umask(0)  # can only be read by setting it, which is not safe once threads run
os.umask(_UMASK)


def cache_folder() -> Path:
    """``$VIDIFF_CACHE``, or ``vidiff`` in the user's cache folder."""
    home = os.environ.get("VIDIFF_CACHE")
    root = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "vidiff"
    return root.expanduser()


def write_text(path: Path, text: str) -> None:
    """Write text as ``write_bytes`` does, ``encoded``."""
    write_bytes(path, encoded(text))


def encoded(text: str) -> bytes:
    r"""Text in UTF-8; other bytes of file names as ``\udcff``."""
    return text.encode("utf-8", "backslashreplace")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent; creates folders."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file next to ``path``, which takes its name on success and goes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder next to ``path``, which takes its name on success and goes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_UMASK)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def flush_to_disk(path: Path) -> None:
    """Wait until a file is on its disk, or the names in a folder are, where that can be waited for.

    An ``OSError`` says that the disk did not take the file: some report a full disk only now.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if not path.is_dir() and error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def write_json(path: Path, data: Any) -> None:
    """Write data as JSON that every reader accepts: no NaN, no infinity."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a ``ValueError`` names a file that is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist") from error
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error


_MARKS = (  # that of UTF-16 begins that of UTF-32
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(path: Path) -> str:
    """Text that a user wrote in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    It is returned without the mark, and every line ends with a line feed. A ``ValueError`` names a
    file that cannot be read; of another encoding also the line, and the command that converts it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    mark, encoding = next((one for one in _MARKS if data.startswith(one[0])), (b"", "utf-8"))
    data = data[len(mark) :]
    try:
        text = data.decode(encoding)
        bad = text.find("\0")
        before, what = text[: max(bad, 0)], "a NUL"
    except UnicodeDecodeError as error:
        bad = error.start
        before, what = data[:bad].decode(encoding, "ignore"), f"byte 0x{data[bad]:02x}"
    if bad >= 0:
        line = len(_lines(before).split("\n"))
        raise ValueError(
            f"{path}, line {line}: {what} is not text in {encoding.upper()[:6].rstrip('-')}; "
            f"convert the file: {_conversion(path, data)}"
        )
    return _lines(text)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _conversion(path: Path, data: bytes) -> str:
    """The command that makes UTF-8 of what looks like another encoding."""
    encoding, why = "cp1252", "cp1252 is Western European Windows; name the encoding it has"
    if data.count(0) > len(data) / 8:
        low, high = data[::2].count(0), data[1::2].count(0)
        encoding, why = f"utf-16{'le' if high > low else 'be'}", "UTF-16 without a byte order mark"
    return f"`iconv -f {encoding} -t utf-8 {quote(str(path))} > utf8{path.suffix}` ({why})"


def refuse_overwrite(path: Path, overwrite: bool) -> None:
    """Raise a ``ValueError`` if ``path`` is there and may not be replaced."""
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; name another output or add --overwrite")


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
