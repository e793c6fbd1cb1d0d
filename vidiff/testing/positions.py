"""What is checked of the kind ``positions``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vidiff.building import made
from vidiff.positions import Positions
from vidiff.testing.common import GRID, HEADS, NUM_TOKENS, WIDTH, check_module, finite


def check(make: Callable[..., Positions]) -> None:
    """Assert what the base class promises."""
    tokens, context = torch.randn(2, NUM_TOKENS, WIDTH), torch.randn(2, 5, WIDTH)

    def run(positions: Positions) -> list[Tensor]:
        rotary = positions.rotary(GRID, torch.device("cpu")) or ()
        for table in rotary:
            finite(table, (NUM_TOKENS, WIDTH // HEADS // 2), "cosines and sines")
        added = finite(positions.add(tokens, GRID), tuple(tokens.shape), "tokens")
        seen = torch.cat([context, added], dim=1)
        for block in range(4):
            seen = positions.add_before_block(block, seen, GRID)
            finite(seen, (2, 5 + NUM_TOKENS, WIDTH), "tokens before a block")
        assert torch.equal(seen[:, :5], context), "context tokens stand nowhere: leave them alone"
        return [seen[:, 5:], *rotary]

    check_module(lambda: made(make, width=WIDTH, num_heads=HEADS), run)
    placed = run(made(make, width=WIDTH, num_heads=HEADS))
    told = [not torch.equal(x[..., :1, :], x[..., 1:2, :]) for x in placed[1:]]
    told.append(not torch.equal(placed[0], tokens))
    assert any(told), "positions say nothing: tokens are as they were, and nothing is rotated"
