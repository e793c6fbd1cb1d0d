"""Compiling a denoiser block by block."""

from __future__ import annotations

import os
import shutil
import warnings
from typing import Any

from vidiff.denoisers.base import Denoiser

VARIANTS = 64
"""Compiled versions that one class of blocks may have: of each layout, with gradients and without,
for one size and for any. Beyond its limit, 8 by default, torch goes on without compiling."""


def compile_blocks(denoiser: Denoiser, **settings: Any) -> None:
    """Compile each block by itself, in place, or the whole network where it has none.

    Blocks of one shape share their code, so that a deeper network does not take longer to compile.
    A second size of clips compiles once more, with sizes left open; further ones do not. Without a
    C++ compiler, it warns and changes nothing. ``settings`` are those of ``torch.compile``.
    """
    if not has_compiler():
        warnings.warn(
            "compiling a denoiser needs a C++ compiler, and none was found: it stays as it is. "
            "Install g++ or clang, or name one in the environment variable CXX",
            stacklevel=2,
        )
        return
    from torch._dynamo import config  # a second: not at the head

    config.recompile_limit = max(config.recompile_limit, VARIANTS)
    for block in denoiser.blocks_to_compile() or [denoiser]:
        block.compile(**settings)


def has_compiler() -> bool:
    """Whether there is a C++ compiler, which ``torch.compile`` needs for GPUs too."""
    names = (os.environ.get("CXX"), "g++", "clang++", "gcc", "clang", "cl")
    return any(name and shutil.which(name) for name in names)
