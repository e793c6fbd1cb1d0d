"""What ran: versions, processors, and the state of the source."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import DEVNULL, SubprocessError, check_output
from typing import Any

import torch

PACKAGES = ("vidiff", "torchvision", "lightning", "jsonargparse", "numpy", "av")


def versions() -> dict[str, str]:
    """Versions of Python, torch and ``PACKAGES``; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    found["torch"] = str(torch.__version__)  # names the build, unlike the package's metadata
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def hardware() -> dict[str, Any]:
    """Processors of this machine."""
    return {
        "cpu": platform.processor() or platform.machine(),
        "num_cpus": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def source_state() -> dict[str, Any]:
    """The commit of vidiff's source, where it is a git checkout, and whether it was changed."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return check_output(command, stderr=DEVNULL, text=True, timeout=10).strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not a package inside another checkout
        commit, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", str(folder))
    except (OSError, SubprocessError):
        return {}
    return {"commit": commit, "changed": bool(changed)}
