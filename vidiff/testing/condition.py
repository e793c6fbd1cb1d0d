"""What is checked of the kind ``condition``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vidiff.autoencoders import Identity
from vidiff.building import made
from vidiff.conditions import Condition
from vidiff.testing.common import CHANNELS, PROMPTS, check_module
from vidiff.types import Signal, SignalDims


def check(make: Callable[..., Condition]) -> None:
    """Assert what the base class promises."""
    autoencoder = Identity(latent_channels=CHANNELS)
    inputs: dict[str, Any] = {
        "caption": PROMPTS,
        "id": ["one", "two"],
        "video": torch.rand(2, 3, 4, 8, 8) * 2 - 1,
        "latents": torch.randn(2, CHANNELS, 4, 8, 8),
        "latent_shape": (CHANNELS, 4, 8, 8),
    }
    build = functools.partial(made, make, autoencoder=autoencoder)
    assert not inspect.isabstract(type(build()))
    lacking = [k for k in build().reads if k not in inputs and k not in build().optional]
    assert not lacking, (
        f"reads {', '.join(lacking)}, which no check can make up: call check_component in a test "
        "of your own with a subclass that reads known inputs"
    )

    def forms(signal: Signal, dims: SignalDims, count: int = 2) -> list[Tensor]:
        found = []
        for form in ("vector", "tokens", "channels"):
            value, width = getattr(signal, form), getattr(dims, form)
            assert (value is not None) == bool(width), (
                f"dims has {form} {width}, and the signal has {'none' if value is None else 'some'}"
            )
            if value is None:
                continue
            axis = 1 if form == "channels" else -1
            assert value.shape[0] == count, f"{form} must be of {count} clips, got {value.shape[0]}"
            assert value.shape[axis] == width, (
                f"{form} must have width {width}, got {tuple(value.shape)}"
            )
            found.append(value[signal.mask] if form == "tokens" else value)
            assert found[-1].isfinite().all(), f"{form} must be finite"
        if signal.mask is not None:
            assert signal.mask.dtype == torch.bool
            assert signal.mask.any(1).all(), "each clip needs a token"
        assert found, "a condition must have a form"
        return found

    def run(condition: Condition) -> list[Tensor]:
        return forms(condition(inputs), condition.dims)

    condition = build().eval()
    if any(True for _ in condition.parameters()) and not condition.frozen:
        check_module(build, run)
    with torch.no_grad():
        given, empty = condition(inputs), condition.empty(inputs)
        run(condition)
        forms(empty, condition.dims)
        drop = torch.tensor([True, False])
        mixed = forms(condition(inputs, drop), condition.dims)
        ours = forms(given.replaced(empty, drop), condition.dims)
        for one, two in zip(mixed, ours, strict=True):
            assert torch.allclose(one, two, atol=1e-4), "a dropped clip is not unconditional"
        if condition.reads == ("caption",):
            alone = condition({**inputs, "caption": PROMPTS[1:]}).vector
            assert alone is None or torch.allclose(alone[0], given.vector[1], atol=1e-4), (
                "a prompt's signal depends on its neighbours"
            )
