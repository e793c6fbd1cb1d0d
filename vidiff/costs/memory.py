"""Bytes that training holds on one device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidiff.training.base import Task


@dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    Attributes:
        weights: parameters and buffers of all parts.
        gradients: of what is trained.
        optimizer: its state after a step.
        average: the moving average of the weights.
        activations: what the forward pass of one batch keeps for the backward pass, without the
            weights; in mixed precision with the copies of weights in the lower one.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int

    @property
    def total(self) -> int:
        """All of it, the most that is held at once."""
        return self.weights + self.gradients + self.optimizer + self.average + self.activations


def memory_of(task: Task, divided: int, optimizer: int, activations: int) -> Memory:
    """The memory of a task that was built.

    Args:
        task: its weights may be fake.
        divided: devices that share what belongs to the trained weights.
        optimizer: bytes of its state on all of them.
        activations: see ``saved_bytes``.
    """
    trained = [p for part in task.trained_parts().values() for p in part.parameters()]
    average = list(task.ema.parameters()) if task.ema else []
    # The project's sharding spreads the parameters of trained parts, and nothing else.
    shared = total_bytes(trained)
    whole = total_bytes(_outside_average(task.named_parameters()))
    buffers = total_bytes(_outside_average(task.named_buffers()))
    averaged = total_bytes(task.ema.buffers()) if task.ema else 0
    return Memory(
        weights=whole - shared + -(-shared // divided) + buffers,
        gradients=-(-total_bytes(p for p in trained if p.requires_grad) // divided),
        optimizer=-(-optimizer // divided),
        average=-(-total_bytes(average) // divided) + averaged,
        activations=activations,
    )


def saved_bytes(forward: Callable[[], Any], beside: Iterable[Tensor] = ()) -> int:
    """Bytes that autograd keeps for the backward pass of ``forward``, each storage counted once.

    Args:
        forward: what is run.
        beside: tensors that are there anyway, such as weights.
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


def _outside_average(named: Iterable[tuple[str, Tensor]]) -> Iterator[Tensor]:
    return (tensor for name, tensor in named if not name.startswith("ema."))


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
