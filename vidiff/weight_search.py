"""Finding files of weights on this machine; nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import torch

VARIABLE = "VIDIFF_WEIGHTS"
"""Names a folder of weights, or one file of them."""


def find_file(what: str, names: Iterable[str], places: Iterable[Path], *, hint: str) -> Path:
    """The first file of weights that is there.

    Args:
        what: the network, in a word that a file's name holds where ``$VIDIFF_WEIGHTS`` is a file.
        names: of files, or patterns of them, the best first.
        places: folders to look in, after ``$VIDIFF_WEIGHTS``.
        hint: what else would help, for the error.

    Raises:
        ValueError: if there is none, with the places that were looked in.
    """
    names, folders = tuple(names), list(places)
    if given := os.environ.get(VARIABLE):
        path = Path(given).expanduser()
        if path.is_file() and what.lower() in path.name.lower():
            return path
        folders.insert(0, path)
    for folder in folders:
        for name in names:
            if found := sorted(path for path in folder.glob(name) if path.is_file()):
                return found[0]
    raise ValueError(
        f"no weights of {what} were found: looked for {', '.join(names)} in "
        f"{', '.join(map(str, folders))}. Set weights to the path of such a file, or {VARIABLE} to "
        f"its folder{hint}; nothing is downloaded"
    )


def caches() -> list[Path]:
    """Folders where torch hub, StyleGAN's tools and Hugging Face keep what they downloaded."""
    home = Path.home() / ".cache"
    tools = os.environ.get("DNNLIB_CACHE_DIR") or home / "dnnlib"
    hugging_face = os.environ.get("HF_HOME") or home / "huggingface"
    hub = os.environ.get("HF_HUB_CACHE") or Path(hugging_face) / "hub"
    return [Path(torch.hub.get_dir()) / "checkpoints", Path(tools) / "downloads", Path(hub)]


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, which is not imported; None if it is not there."""
    spec = find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
