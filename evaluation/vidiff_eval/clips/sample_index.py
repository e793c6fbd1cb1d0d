"""Folders of sampled videos, as ``vidiff sample`` writes them.

``samples.jsonl`` has one JSON object a line: ``prompt``, ``seed``, ``index``, ``file`` (relative to
the folder) and ``settings``. Where the settings have a ``scale``, the file holds every pixel as a
block of so many by so many, so that players show small videos well and compression spares them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidiff.files import read_text

INDEX = "samples.jsonl"
BEGUN = "sampling.json"
"""What is in the folder from the beginning of sampling on; the index comes at its end."""


@dataclass(frozen=True)
class Sample:
    """One line of ``samples.jsonl``, of the folder ``folder``."""

    folder: Path
    file: str
    prompt: str
    index: int = 0
    original: str = ""  # the prompt as the user wrote it, where a rewriter changed it
    seed: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where the video is."""
        return self.folder / self.file

    @property
    def scale(self) -> int:
        """How many pixels of the file stand for one of the video, along each axis."""
        return int(self.settings.get("scale", 1))


def read_samples(folder: Path) -> list[Sample]:
    """All samples of a folder, in the file's order.

    Raises:
        ValueError: if the folder or its index is missing, empty or broken, or if an entry's file
            is missing or lies outside the folder; says which line.
    """
    index = folder / INDEX
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; give one that `vidiff sample --output` wrote")
    if not index.is_file():
        raise ValueError(f"{folder} has no {INDEX}; give a folder that `vidiff sample` wrote")
    lines = read_text(index).split("\n")
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    samples = [_sample(folder, line, f"{index}, line {number}") for number, line in numbered]
    if not samples:
        raise ValueError(f"{index} lists no sample; was `vidiff sample` stopped early?")
    return samples


def precision_of(folder: Path) -> dict[str, str]:
    """The precision in which a folder's videos were sampled and their model trained, if known."""
    if not (folder / INDEX).is_file():
        return {}
    settings, found = [sample.settings for sample in read_samples(folder)], {}
    for key in ("trained_in", "precision"):
        if values := sorted({str(each[key]) for each in settings if each.get(key)}):
            found[key] = ", ".join(values)
    return found


def parse_groups(words: Sequence[str]) -> dict[str, Path]:
    """``NAME=DIR`` or ``DIR`` (named after its last part) to folders by name.

    Raises:
        ValueError: if two have one name.
    """
    groups: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        path = Path(folder if equals else word)
        name = name if equals else path.resolve().name
        if not name or name in groups:
            raise ValueError(f"{word!r}: give every samples folder a name of its own, as NAME=DIR")
        groups[name] = path
    return groups


def _sample(folder: Path, line: str, where: str) -> Sample:
    try:
        entry = json.loads(line)
        sample = Sample(
            folder,
            file=str(entry["file"]),
            prompt=str(entry["prompt"]),
            index=int(entry.get("index", 0)),
            original=str(entry.get("original_prompt") or ""),
            seed=None if entry.get("seed") is None else int(entry["seed"]),
            settings=dict(entry.get("settings") or {}),
        )
        scale = sample.scale
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} is no sample ({type(error).__name__}: {error})") from error
    if scale < 1:
        raise ValueError(f"{where}: scale must be at least 1, got {scale}")
    if not sample.path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{where}: {sample.file} lies outside the folder")
    if not sample.path.is_file():
        raise ValueError(f"{where}: {sample.path} is missing; sample again")
    return sample
