"""Counting the floating-point operations of a training step, a multiply-add as two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from vidiff.model import Model, inputs_of
from vidiff.types import Batch, Signals


@contextmanager
def counting() -> Iterator[FlopCounterMode]:
    """Count floating-point operations, with fused and compiled paths switched off."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@torch.no_grad()
def model_flops(model: Model, batch: Batch) -> int:
    """Operations of a step: frozen parts run forward only, others backward too, at twice that."""
    with counting() as counter:
        latents = model.latents_of(batch)
        frozen = counter.get_total_flops()
        inputs = inputs_of(batch, latents)
        signals: Signals = {}
        for name, part in model.conditions.items():
            before = counter.get_total_flops()
            signals[name] = model.signals(inputs, held=signals, only=[name])[name]
            frozen += (counter.get_total_flops() - before) * bool(part.frozen)
        model.network(signals)(latents, latents.new_zeros(len(batch)))
    return frozen + 3 * (counter.get_total_flops() - frozen)
