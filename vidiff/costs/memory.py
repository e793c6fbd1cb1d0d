"""Bytes that training holds on one device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidiff.training.task import Task


@dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    Activations are what the forward pass of one batch keeps for the backward pass, without the
    weights; in mixed precision with the copies of weights in the lower one.
    """

    weights: int  # parameters and buffers of all parts
    gradients: int
    optimizer: int  # its state after a step
    average: int  # the moving average of the weights
    activations: int

    @property
    def total(self) -> int:
        """All of it, the most that is held at once."""
        return self.weights + self.gradients + self.optimizer + self.average + self.activations


def memory_of(task: Task, divided: int, optimizer: int, activations: int) -> Memory:
    """The memory of a built task, where ``divided`` devices share trained weights and optimizer."""
    trained = [p for part in task.trained_parts().values() for p in part.parameters()]

    def share(whole: int) -> int:
        return -(-whole // divided)

    # The project's sharding spreads the parameters of trained parts, and nothing else.
    shared, ema = total_bytes(trained), task.ema
    named = (task.named_parameters(), task.named_buffers())
    whole, buffers = (total_bytes(x for n, x in each if not n.startswith("ema.")) for each in named)
    return Memory(
        weights=whole - shared + share(shared) + buffers,
        gradients=share(total_bytes(p for p in trained if p.requires_grad)),
        optimizer=share(optimizer),
        average=share(total_bytes(ema.parameters())) + total_bytes(ema.buffers()) if ema else 0,
        activations=activations,
    )


def saved_bytes(forward: Callable[[], Any], beside: Iterable[Tensor] = ()) -> int:
    """Bytes that autograd keeps for the backward pass of ``forward``, each storage counted once.

    Tensors ``beside`` it, such as weights, are there anyway and do not count.
    """
    storages: dict[int, torch.UntypedStorage] = {}
    apart = {_address(tensor) for tensor in beside}

    def pack(tensor: Tensor) -> Tensor:
        storages[_address(tensor)] = tensor.untyped_storage()
        return tensor

    with (
        torch.compiler.set_stance("force_eager"),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        result = forward()
    kept = sum(s.nbytes() for address, s in storages.items() if address not in apart)
    del result  # with it would go what the graph holds, and addresses be used again
    return kept


def total_bytes(values: Iterable[Any]) -> int:
    """Bytes of tensors, each storage counted once; other values count nothing."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    return sum({_address(t): t.untyped_storage().nbytes() for t in tensors}.values())


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
