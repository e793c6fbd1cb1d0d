"""Optimizer recipe interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vidiff.registry import kind


@kind("optimizer")
class OptimizerRecipe(ABC):
    """Which rule updates which parameter, with which learning rate.

    The learning rates are peaks: the task's schedule multiplies all of them by one factor.
    """

    @abstractmethod
    def build(self, modules: Sequence[nn.Module]) -> Optimizer:
        """An optimizer of all parameters that need a gradient; ``ValueError`` if there is none."""


class MakeOptimizer(Protocol):
    """An optimizer recipe with everything set."""

    def __call__(self) -> OptimizerRecipe: ...


def trainable(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Parameters that need a gradient; a ``ValueError`` if there is none."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    if not parameters:
        names = ", ".join(type(module).__name__ for module in modules)
        raise ValueError(f"nothing to train: {names} have no parameter that needs a gradient")
    return parameters


def decayed_groups(parameters: Sequence[Tensor], weight_decay: float) -> list[dict]:
    """Parameter groups in which biases, gains and other vectors are not decayed."""
    groups: list[dict] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def loss_of(closure: Callable[[], Any] | None) -> Any:
    """What ``Optimizer.step`` returns: the loss of a closure, run with gradients; else None."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
