"""Files of networks: their hashes, and those that are TorchScript."""

from __future__ import annotations

import functools
import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

from vidiff import files


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
