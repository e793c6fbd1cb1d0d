"""A device without memory: what a model would do there, found out on any machine.

Its tensors are torch's fake ones: meta tensors, with shapes and types but no values, that say they
are on the device. So autocast, and code that asks where it runs, do what they do there.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

SMALL = 4096
"""Tensors of up to as many values are made on a fake CPU as they would be on a real one."""

_torch_load, _torch_attention = torch.load, F.scaled_dot_product_attention


@contextmanager
def fake_device(name: str, small: int = SMALL) -> Iterator[torch.device]:
    """Inside, tensors that are made on the device ``name``, ``cpu`` or ``cuda``, take no memory.

    Other tensors are real, and so are small ones on the CPU: a text encoder can look its tokens up.
    On ``cuda`` attention keeps for its backward pass what the fused kernels keep; on the CPU the
    kernel is chosen as usual. A ``small`` tensor has that many values at most.
    """
    device = torch.device(name)
    with warnings.catch_warnings():
        # Copying a module asks fake parameters for addresses.
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        attention = _attention if device.type == "cuda" else _torch_attention
        with (
            patch.object(F, "scaled_dot_product_attention", attention),
            patch.object(torch, "load", _load),
            FakeTensorMode(allow_non_fake_inputs=True),
            _RealElsewhere(device, small),
        ):
            yield device


@contextmanager
def mixed_precision(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """``torch.autocast``, which turns itself off where no GPU is; nothing without a type."""
    if dtype is None:
        yield
        return
    kind = device.type
    before = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    torch.set_autocast_enabled(kind, True)
    torch.set_autocast_dtype(kind, dtype)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        torch.set_autocast_enabled(kind, before[0])
        torch.set_autocast_dtype(kind, before[1])


class _RealElsewhere(TorchDispatchMode):
    """Hands to the fake mode below it what belongs on the device, and computes the rest."""

    def __init__(self, device: torch.device, small: int) -> None:
        super().__init__()
        self.device, self.small = device, small

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(isinstance(tensor, FakeTensor) for tensor in tensors):
            return func(*args, **kwargs)
        if self.device.type != "cpu":
            if torch.device(kwargs.get("device") or "cpu").type == self.device.type:
                return func(*args, **kwargs)
        elif not tensors:
            made = func(*args, **kwargs)
            if isinstance(made, Tensor) and made.numel() > self.small:
                return made
        with unset_fake_temporarily():
            return func(*args, **kwargs)


def _load(*args: Any, **kwargs: Any) -> Any:
    """``torch.load`` of real tensors, since a part may be built by what a file says."""
    with unset_fake_temporarily():
        return _torch_load(*args, **kwargs)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Flash attention (Dao 2023) in half precision, the memory-efficient kernel elsewhere.

    Torch chooses by the properties of a GPU, which a fake one has not.
    """
    settings: dict[str, Any] = {"dropout_p": dropout_p, "is_causal": is_causal, "scale": scale}
    if query.ndim != 4 or query.device.type != "cuda" or query.dtype == torch.float64:
        return _torch_attention(query, key, value, attn_mask, enable_gqa=enable_gqa, **settings)
    if torch.is_autocast_enabled("cuda"):
        half = torch.get_autocast_dtype("cuda")
        query, key, value = query.to(half), key.to(half), value.to(half)
    if enable_gqa:
        shared = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
    aten = torch.ops.aten
    if attn_mask is None and query.dtype != torch.float32:
        return aten._scaled_dot_product_flash_attention(query, key, value, **settings)[0]
    bias = attn_mask
    if bias is not None:
        bias = bias.to(query.dtype).expand(*query.shape[:3], key.shape[2])
    kernel = aten._scaled_dot_product_efficient_attention
    return kernel(query, key, value, bias, compute_log_sumexp=True, **settings)[0]
