"""Buffers that each process fills by itself, as each meets other clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Reduce = Callable[..., Any]
"""Lightning's ``strategy.reduce``."""


def united_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Boolean buffers that are true wherever they are in any process, by their full names.

    A module names them in ``united``, as ``Words`` does.
    """
    return {
        f"{prefix}.{name}" if prefix else name: getattr(part, name)
        for prefix, part in module.named_modules()
        for name in getattr(part, "united", ())
    }


@torch.no_grad()
def unite(buffers: dict[str, Tensor], reduce: Reduce) -> None:
    """Let all processes have what any of them met; all have to ask together, none each step."""
    for buffer in buffers.values():
        buffer.copy_(reduce(buffer.to(torch.uint8), reduce_op="max") > 0)
