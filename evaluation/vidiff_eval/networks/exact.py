"""Computing the same scores again, on any GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from vidiff.precision import full_precision


@contextmanager
def exact(device: torch.device | str = "cpu") -> Iterator[None]:
    """No gradients and no autocast; on a GPU, full float32 by algorithms that repeat themselves.

    TF32 has ten bits of mantissa, which moves features by a thousandth, and autotuning picks
    kernels by what else the machine does. Autocast is on where samples are judged while a model
    trains in bfloat16.

    Args:
        device: that is computed on.
    """
    cudnn: Any = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    try:
        cudnn.benchmark, cudnn.deterministic = False, True
        with torch.no_grad(), full_precision(device):
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before
