"""Spreading weights over processes (FSDP2, Zhao et al. 2023)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Shard every block of ``module`` by itself, then the rest of it, over the data's processes.

    Blocks are the members of an ``nn.ModuleList``.

    Raises:
        ValueError: if the mesh splits tensors, which no part of vidiff knows how to do.
    """
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
