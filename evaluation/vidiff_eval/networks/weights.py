"""Finding files of weights on this machine; nothing is downloaded."""

from __future__ import annotations

import functools
import os
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from vidiff import files

VARIABLE = "VIDIFF_WEIGHTS"
"""Names a folder of weights, or one file of them."""


def find_file(
    what: str, names: Iterable[str], places: Iterable[Path] | None = None, *, hint: str = ""
) -> Path:
    """The first file of weights that is there.

    Args:
        what: the network, in a word that a file's name holds where ``$VIDIFF_WEIGHTS`` is a file.
        names: of files, or patterns of them, the best first.
        places: folders to look in, after ``$VIDIFF_WEIGHTS``; by default those of ``caches``.
        hint: what else would help, for the error.

    Raises:
        ValueError: if there is none, with the places that were looked in.
    """
    names, folders = tuple(names), list(caches() if places is None else places)
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


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal; a file that has not changed is read once.

    Raises:
        ValueError: if there is no such file.
    """
    if not path.is_file():
        raise ValueError(f"weights {path} do not exist")
    seen = path.stat()
    return _sha256(path, seen.st_mtime_ns, seen.st_size)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, modified: int, size: int) -> str:
    return files.sha256(path)


def is_script(path: Path) -> bool:
    """Whether a file is TorchScript: an archive that holds code beside tensors; no code is run."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {name.partition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return "constants.pkl" in inside or any(name.startswith("code/") for name in inside)


def load_script(path: Path) -> nn.Module:
    """A TorchScript file as a module on the CPU, for use without gradients.

    Raises:
        ValueError: if there is no such file, or it is no TorchScript.
    """
    if not path.is_file():
        raise ValueError(f"weights {path} do not exist")
    if not is_script(path):
        raise ValueError(f"{path} is no TorchScript file, which was asked for; give one")
    with warnings.catch_warnings():
        # torch.jit goes, the files that people have stay.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            script: nn.Module = torch.jit.load(str(path), map_location="cpu")
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"{path} cannot be read as TorchScript: {reason}") from error
    for parameter in script.parameters():
        parameter.requires_grad_(False)  # of all at once, a script refuses it
    return script.eval()
