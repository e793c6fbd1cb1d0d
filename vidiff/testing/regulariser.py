"""What is checked of the kind ``regulariser``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vidiff.regularisers import Regulariser
from vidiff.testing.common import NUM_TOKENS, WIDTH, finite


def check(make: Callable[..., Regulariser]) -> None:
    """Assert what the base class promises."""
    regulariser = make()
    assert regulariser.blocks, "it must look at a block"
    assert min(regulariser.blocks) >= 1, "blocks are counted from 1 on"
    features = {
        n: torch.randn(4, NUM_TOKENS, WIDTH, requires_grad=True) for n in regulariser.blocks
    }
    term = finite(regulariser(features), (), "the term")
    term.backward()
    for number, tokens in features.items():
        assert tokens.grad is not None, f"no gradient reaches block {number}"
        finite(tokens.grad, tuple(tokens.shape), "the gradient")
