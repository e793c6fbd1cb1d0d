"""Frozen networks next to a task, which its checkpoints do not hold."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Detached(Generic[M]):
    """Keeps a frozen network, which moves to where it is called, out of a task's checkpoints."""

    def __init__(self, module: M) -> None:
        self.module = module.requires_grad_(False).eval()
        self._device: torch.device | None = None

    def on(self, device: torch.device) -> M:
        """The network on ``device``."""
        if self._device != device:
            with torch.inference_mode(False):  # validation may move it, and training use it
                self.module, self._device = self.module.to(device), device
        return self.module

    def __call__(self, *tensors: Tensor, **settings: Any) -> Any:
        return self.on(tensors[0].device)(*tensors, **settings)
