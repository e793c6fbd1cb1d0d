"""Computing the same figures again, on any GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


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
    settings = [
        (cudnn.conv, "fp32_precision", "ieee"),
        (torch.backends.cuda.matmul, "fp32_precision", "ieee"),
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
    ]
    before = [getattr(owner, name) for owner, name, _ in settings]
    try:
        for owner, name, value in settings:
            setattr(owner, name, value)
        with torch.no_grad(), torch.autocast(torch.device(device).type, enabled=False):
            yield
    finally:
        for (owner, name, _), value in zip(settings, before, strict=True):
            setattr(owner, name, value)
