"""The folder of a latent cache: which shards it lacks, and whether it may be written to."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from vidiff.data import Split
from vidiff.data.cache_files import is_whole, shard_path
from vidiff.data.cache_index import INDEX, Index, read_index
from vidiff.files import write_text

Missing = dict[Split, list[int]]
"""Numbers of the shards to write, by split."""


def claim(root: Path, asked: Index) -> tuple[Index, Missing]:
    """Index and missing shards, in a new folder or one of the same call.

    Raises:
        ValueError: if the folder holds another cache, or anything else.
    """
    known, index = root / INDEX, asked
    if known.exists() and any(root.glob("*.safetensors")):  # a call may fail before its first
        held = read_index(root)
        if differing := held.differences(asked):
            raise ValueError(
                f"{root} holds another cache, in which these differ: {'; '.join(differing)}. "
                "Choose another --output, or remove that folder"
            )
        index = replace(held, splits=held.splits | asked.splits)
    elif any(path.name != INDEX for path in root.glob("[!.]*")):
        raise ValueError(f"{root} is not empty and holds no latent cache: choose another --output")
    root.mkdir(parents=True, exist_ok=True)
    write_text(known, index.dumps())
    _sweep(root)
    return index, {split: _missing(root, index, split) for split in asked.splits}  # type: ignore[misc]


def _missing(root: Path, index: Index, split: str) -> list[int]:
    key = index.key(split)
    numbers = range(index.num_shards(split))
    return [number for number in numbers if not is_whole(shard_path(root, split, number), key)]


def _sweep(root: Path) -> None:
    """Remove what calls that were killed left half written; no call writes on for an hour."""
    for path in root.glob(".*.safetensors.*"):
        with suppress(FileNotFoundError):  # another call's, which is there by its own name now
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink()


def status(root: Path, index: Index, missing: Missing) -> list[str]:
    """A line for each split: how many clips it has, and how many of its shards are there."""
    lines = []
    for split, numbers in missing.items():
        total, clips = index.num_shards(split), index.num_entries(split)
        done = f"{total - len(numbers)} of {total} shards are there" if numbers else "complete"
        lines.append(f"{root}, {split}: {clips} clips, {done}")
    return lines
