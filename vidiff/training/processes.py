"""Several processes: their shares of data and weights, and what they tell one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

T = TypeVar("T")

Reduce = Callable[..., Any]
"""Lightning's ``strategy.reduce``."""


def share_of_data(trainer: Trainer | None) -> tuple[int, int]:
    """Rank and number of the processes that get different data."""
    place = trainer.distributed_sampler_kwargs if trainer is not None else None
    # Not the world size: processes that share one model's layers get the same data.
    return (place["rank"], place["num_replicas"]) if place else (0, 1)


def from_first(trainer: Trainer, call: Callable[[], T]) -> T:
    """The result of a call of the first process; its ``ValueError`` or ``OSError`` is all's."""
    answer: T | ValueError | OSError | None = None
    if trainer.is_global_zero:
        try:
            answer = call()
        except (ValueError, OSError) as error:
            answer = error
    answer = trainer.strategy.broadcast(answer)
    if isinstance(answer, (ValueError, OSError)):
        raise answer
    return answer  # type: ignore[return-value]


def united_buffers(module: nn.Module) -> dict[str, Tensor]:
    """By their full names, the boolean buffers that modules name in ``united``, as ``Words``."""
    return {
        f"{prefix}.{name}" if prefix else name: getattr(part, name)
        for prefix, part in module.named_modules()
        for name in getattr(part, "united", ())
    }


@torch.no_grad()
def unite(buffers: dict[str, Tensor], reduce: Reduce) -> None:
    """Make buffers, which processes fill from clips of their own, true where they are in any."""
    for buffer in buffers.values():
        buffer.copy_(reduce(buffer.to(torch.uint8), reduce_op="max") > 0)


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Shard each block (in an ``nn.ModuleList``), then the rest (FSDP2, Zhao et al. 2023)."""
    if (size := mesh["tensor_parallel"].size()) > 1:
        raise ValueError(
            f"tensor_parallel_size must be 1, got {size}: set ModelParallelStrategy's "
            "data_parallel_size to the number of processes, and tensor_parallel_size to 1"
        )
    lists = [child for child in module.modules() if isinstance(child, nn.ModuleList)]
    for blocks in reversed(lists):  # inner ones first
        for block in blocks:
            fully_shard(block, mesh=mesh["data_parallel"])
    # Without a backward pass the outermost weights would stay whole: the average never has one.
    fully_shard(module, mesh=mesh["data_parallel"], reshard_after_forward=True)


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; all of it, if it is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
