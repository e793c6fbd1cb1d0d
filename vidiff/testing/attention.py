"""What is checked of the kind ``attention``."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from vidiff.attention import Attention
from vidiff.building import made
from vidiff.positions import Layout
from vidiff.testing.common import GRID, HEADS, NUM_TOKENS, WIDTH, check_module, finite


def check(make: Callable[..., Attention]) -> None:
    """Assert what the base class promises."""
    angles = torch.randn(NUM_TOKENS, WIDTH // HEADS // 2)
    layouts = [Layout(GRID), Layout(GRID, (angles.cos(), angles.sin()))]
    context = 5
    tokens = torch.randn(2, context + NUM_TOKENS, WIDTH)
    mask = torch.ones(2, context + NUM_TOKENS, dtype=torch.bool)
    mask[:, 3:context] = False

    def run(attention: Attention) -> list[Tensor]:
        outputs = [attention(tokens[:, context:], layout) for layout in layouts]
        outputs += [attention(tokens, layout, mask) for layout in layouts]
        for output, given in zip(
            outputs, [NUM_TOKENS] * 2 + [NUM_TOKENS + context] * 2, strict=True
        ):
            finite(output, (2, given, WIDTH), "tokens")
        return outputs

    for block in range(2):
        one = functools.partial(made, make, width=WIDTH, num_heads=HEADS, block=block, num_blocks=2)
        check_module(one, run)
        attention = one().eval()
        masked, told, moved = tokens.clone(), tokens.clone(), tokens.clone()
        masked[:, 3:context] += 1  # what is masked must not be seen
        told[:, 0] += 1  # and what is not, must
        moved[:, -1] += 1
        with torch.no_grad():
            seen, same, after_told, after_moved = (
                attention(x, layouts[0], mask) for x in (tokens, masked, told, moved)
            )
        assert torch.allclose(seen[mask], same[mask], atol=1e-5), (
            "tokens attend to what the mask leaves out"
        )
        reached = (seen != after_told).any(-1)[:, context:].all()
        assert reached, "a context token must reach every token of the video"
        heard = (seen != after_moved).any(-1)[:, 1:3].all()
        assert heard, "every token of the video must reach the context"
