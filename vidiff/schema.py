"""Files of results: dataclasses written as JSON, and read back of one version only."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vidiff.files import read_json, write_json

T = TypeVar("T")


def write(path: Path, data: Any, name: str, version: int) -> None:
    """Write a dataclass as JSON that begins with its format: its name and version."""
    write_json(path, {"format": f"{name} {version}", **plain(data)})


def read(cls: type[T], path: Path, name: str, version: int, *, command: str, note: str = "") -> T:
    """Read what ``write`` wrote.

    Args:
        cls: the dataclass.
        path: of the file.
        name: of the format.
        version: the only one that is read.
        command: that writes such files, for messages.
        note: on calling it again, for messages.

    Raises:
        ValueError: if the file is missing, damaged, of another format or of another version; names
            it and the command that writes it anew.
    """
    data = read_json(path)
    said = data.get("format") if isinstance(data, dict) else None
    found, _, number = str(said).rpartition(" ")
    if found != name:
        what = name.removeprefix("vidiff ")
        raise ValueError(f"{path} is no {what}: give a file that {command} wrote")
    if number != str(version):
        raise ValueError(
            f"{path} has version {number} of its format, this vidiff reads version {version}: run "
            f"{command} again{note}"
        )
    try:
        return build(cls, data)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): run {command} again{note}") from error


def plain(value: Any) -> Any:
    """Dataclasses as plain values, with None for numbers that JSON does not have."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def build(cls: Any, data: Any, where: str = "") -> Any:
    """Plain values as the type that they were: None as a ``float`` is NaN.

    Raises:
        ValueError: if they do not fit; names the field.
    """
    if is_dataclass(cls):
        return _dataclass(cls, _of(dict, data, where), where)
    origin, inner = get_origin(cls), get_args(cls)
    if origin in (Union, types.UnionType):
        kept = next(one for one in inner if one is not types.NoneType)
        return None if data is None else build(kept, data, where)
    if origin is dict:
        pairs = _of(dict, data, where).items()
        return {key: build(inner[1], one, f"{where}.{key}") for key, one in pairs}
    if origin is list:
        return [build(inner[0], one, f"{where}[]") for one in _of(list, data, where)]
    if origin is tuple:
        parts = _of(list, data, where)
        each = [inner[0]] * len(parts) if inner[-1] is ... else inner
        return tuple(build(one, part, where) for one, part in zip(each, parts, strict=True))
    if cls is float:
        return math.nan if data is None else _of((int, float), data, where)
    return data if cls is Any or origin is Literal else _of(cls, data, where)


def _dataclass(cls: Any, data: dict[str, Any], where: str) -> Any:
    needed = (f for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING)
    if lacking := [field.name for field in needed if field.name not in data]:
        raise ValueError(f"{where or 'it'} lacks {', '.join(lacking)}")
    hints = _hints(cls)
    given = {name: data[name] for name in hints if name in data}
    return cls(**{name: build(hints[name], one, f"{where}.{name}".lstrip("."))
                  for name, one in given.items()})  # fmt: skip


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _of(cls: Any, data: Any, where: str) -> Any:
    if not isinstance(data, cls):
        raise ValueError(f"{where or 'it'} is {type(data).__name__}")
    return data
