"""What is checked of the kind ``conditioning``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from vidiff.attention import Full
from vidiff.building import made
from vidiff.conditioning import Conditioning
from vidiff.positions import Layout
from vidiff.testing.common import (
    GRID,
    HEADS,
    NUM_TOKENS,
    TEXT_DIM,
    WIDTH,
    check_module,
    finite,
    text_signal,
)
from vidiff.types import Signal, SignalDims, Signals


def check(make: Callable[..., Conditioning]) -> None:
    """Assert what the base class promises."""
    tokens, layout = torch.randn(2, NUM_TOKENS, WIDTH), Layout(GRID)
    times = torch.randn(2, 1, WIDTH), torch.randn(2, GRID[0], WIDTH)
    text, signals = text_signal(), {"text": SignalDims(vector=TEXT_DIM, tokens=TEXT_DIM)}

    class Whole(nn.Module):
        """Two blocks and the last norm around a conditioning."""

        def __init__(self, signals: dict[str, SignalDims] = signals) -> None:
            super().__init__()
            self.conditioning = made(make, width=WIDTH, num_heads=HEADS, signals=signals)
            self.blocks = nn.ModuleList(
                self.conditioning.make_block(
                    Full(width=WIDTH, num_heads=HEADS, block=block, num_blocks=2),
                    nn.Linear(WIDTH, WIDTH),
                )
                for block in range(2)
            )
            self.norm = self.conditioning.make_last_norm()

    def ask(whole: Whole, time: Tensor, signals: Signals) -> Tensor:
        context = whole.conditioning.prepare(time, signals)
        mixed = whole.conditioning.enter(tokens, context)
        left = whole.conditioning.leave(mixed, context)
        assert torch.equal(left, tokens), "leave must undo enter"
        for block in whole.blocks:
            mixed = finite(block(mixed, context, layout), tuple(mixed.shape), "a block's tokens")
        mixed = whole.conditioning.leave(mixed, context)
        return finite(whole.norm(mixed, context), (2, NUM_TOKENS, WIDTH), "tokens")

    def run(whole: Whole, text: Signal | None = text) -> list[Tensor]:
        return [ask(whole, time, {} if text is None else {"text": text}) for time in times]

    check_module(Whole, run)
    with torch.no_grad():
        whole = Whole()
        for parameter in whole.parameters():
            parameter.normal_(std=0.2)
        assert not torch.equal(run(whole)[0], run(whole, None)[0]), "text makes no difference"
        assert text.tokens is not None
        assert text.mask is not None
        padded = replace(text, tokens=text.tokens.clone())
        assert padded.tokens is not None
        padded.tokens[~text.mask] += 1
        assert torch.allclose(run(whole)[0], run(whole, padded)[0], atol=1e-5), "padding is seen"
        same = times[0].expand_as(times[1])
        one, each = ask(whole, times[0], {"text": text}), ask(whole, times[1], {"text": text})
        assert not torch.equal(one, each), "times of frames make no difference"
        turned = ask(whole, times[1].flip(1), {"text": text})
        assert not torch.allclose(each, turned, atol=1e-5), "frames do not have times of their own"
        if whole.conditioning.vector_maps:  # as tokens, the same times stand at several frames
            equal = ask(whole, same, {"text": text})
            assert torch.allclose(one, equal, atol=1e-4), "frames of one time are not as one time"
    wordless = Whole({})
    sum(x.sum() for x in run(wordless, None)).backward()  # type: ignore[union-attr]
    unused = [name for name, p in wordless.named_parameters() if p.grad is None]
    assert not unused, f"without conditions nothing uses {', '.join(unused)}"
    several = {
        "one": SignalDims(vector=5, tokens=7), "two": SignalDims(vector=3),
        "three": SignalDims(channels=2),
    }  # fmt: skip
    given = {
        "one": Signal(torch.randn(2, 5), torch.randn(2, 4, 7), torch.ones(2, 4, dtype=torch.bool)),
        "two": Signal(vector=torch.randn(2, GRID[0], 3)),
        "three": Signal(),
    }
    ask(Whole(several), times[0], given)
