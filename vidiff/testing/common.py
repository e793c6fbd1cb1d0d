"""What conformance checks share: their table, and what they ask of every module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vidiff.testing.sizes import TEXT_DIM
from vidiff.types import Signal

M = TypeVar("M", bound=nn.Module)
Check = TypeVar("Check", bound=Callable[[Any], None])

CHECKS: dict[str, Callable[[Any], None]] = {}
"""By kind: asserts what the base class promises of what a factory makes."""


def checks(kind: str) -> Callable[[Check], Check]:
    """Make the decorated function the check of a kind."""

    def add(check: Check) -> Check:
        CHECKS[kind] = check
        return check

    return add


def randomised(module: M) -> M:
    """The module with random weights: many components start at zero, with gradients of zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.2)
    return module


def check_module(make: Callable[[], nn.Module], run: Callable[[Any], Iterable[Tensor]]) -> None:
    """Gradients reach every parameter, and a saved state gives the same outputs."""
    module = randomised(make())
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if trained:
        torch.stack([x.square().mean() for x in run(module)]).sum().backward()
    cut = [name for name, p in trained.items() if p.grad is None or not p.grad.any()]
    assert not cut, f"no gradient reaches {', '.join(cut)}"
    loaded = make()
    loaded.load_state_dict(copy.deepcopy(module.state_dict()), strict=True)
    module.eval(), loaded.eval()
    with torch.no_grad():
        for before, after in zip(run(module), run(loaded), strict=True):
            assert torch.equal(before, after), "a loaded state gives other outputs"


def finite(x: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    """``x``, which must have this shape and be finite."""
    assert tuple(x.shape) == shape, f"{what} must be {shape}, got {tuple(x.shape)}"
    assert x.isfinite().all(), f"{what} must be finite"
    return x


def text_signal() -> Signal:
    """Of two prompts, the first with padding."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(2, TEXT_DIM, generator=generator)
    mask = torch.tensor([[True, False, False], [True, True, True]])
    return Signal(vector, torch.randn(2, 3, TEXT_DIM, generator=generator), mask)


def refuses(call: Callable[[], object]) -> bool:
    """Whether a call raises ``ValueError``."""
    try:
        call()
    except ValueError:
        return True
    return False
