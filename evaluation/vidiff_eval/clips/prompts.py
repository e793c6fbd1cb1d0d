"""Files of prompts."""

from __future__ import annotations

from pathlib import Path

from vidiff.captions import TABLES, read_list, read_table


def read_prompts(path: Path, folder: Path = Path()) -> dict[str, str] | list[str]:
    """Prompts by file (``.csv``, ``.jsonl``), or one a line; see ``vidiff.captions``.

    Args:
        path: the file.
        folder: of videos, which paths in a table are relative to; those out of it are left out.

    Raises:
        ValueError: if the file is missing, empty or broken, or names a video twice; says where.
    """
    if path.suffix.lower() not in TABLES:
        return read_list(path)
    prompts = read_table(path, folder, outside="skip")
    if not prompts:
        raise ValueError(f"prompts {path} are empty, or all for files out of {folder}")
    if bare := [file for file, prompt in prompts.items() if not prompt]:
        raise ValueError(f"prompts {path}: the prompt of {bare[0]} is empty")
    return prompts
