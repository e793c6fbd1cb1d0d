"""What a step of the optimizer takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from vidiff.costs.memory import total_bytes
from vidiff.training.base import Task
from vidiff.training.flops import counting

Keep = Callable[[Any, Callable[[], Any]], Any]
"""Memoisation: returns ``call()``, computed once per key."""


def optimizer_costs(task: Task) -> tuple[int, int]:
    """Bytes of the optimizer's state, and floating-point operations of its matrix products."""
    optimizer = _build(task)
    flops = _step(optimizer, [p for group in optimizer.param_groups for p in group["params"]])
    state = total_bytes(value for held in optimizer.state.values() for value in held.values())
    return state, flops


def optimizer_products(task: Task, keep: Keep) -> int:
    """The operations of ``optimizer_costs``, for a task that was built on the meta device.

    One parameter stands for all of its shape in its group: optimizers treat them one by one.

    Args:
        task: what is counted.
        keep: is given a group's settings and a shape, and what counts one parameter of these; may
            know the answer from another task with the same optimizer.
    """
    optimizer = _build(task)
    total = 0
    for group in optimizer.param_groups:
        group["fused"] = False  # there are no such kernels, and no products in them
        settings = repr(sorted((k, v) for k, v in group.items() if k not in ("params", "lr")))
        alike: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for parameter in group["params"]:
            alike.setdefault(tuple(parameter.shape), []).append(parameter)
        for shape, those in alike.items():
            total += len(those) * keep((settings, shape), partial(_step, optimizer, those[:1]))
    return total


def _build(task: Task) -> Optimizer:
    return task.make_optimizer().build(list(task.trained_parts().values()))


def _step(optimizer: Optimizer, parameters: Sequence[nn.Parameter]) -> int:
    """Operations of a step in which only these parameters have gradients, of zero."""
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    with counting() as counter:
        optimizer.step()
    for parameter in parameters:
        parameter.grad = None
    return counter.get_total_flops()
