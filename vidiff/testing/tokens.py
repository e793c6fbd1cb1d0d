"""Conformance of what is inside a denoiser: attention, conditioning, patchifiers, positions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vidiff.attention import Attention, Full
from vidiff.conditioning import Conditioning
from vidiff.config_nodes import made
from vidiff.patchifiers import Patchifier
from vidiff.positions import Layout, Positions
from vidiff.testing.common import check_module, checks, finite, randomised, text_signal
from vidiff.testing.sizes import CHANNELS, GRID, HEADS, NUM_TOKENS, TEXT_DIM, WIDTH
from vidiff.types import Signal, SignalDims, Signals


@checks("attention")
def _attention(make: Callable[..., Attention]) -> None:
    angles = torch.randn(NUM_TOKENS, WIDTH // HEADS // 2)
    layouts = [Layout(GRID), Layout(GRID, (angles.cos(), angles.sin()))]
    context = 5
    tokens = torch.randn(2, context + NUM_TOKENS, WIDTH)
    mask = torch.ones(2, context + NUM_TOKENS, dtype=torch.bool)
    mask[:, 3:context] = False

    def run(attention: Attention) -> list[Tensor]:
        outputs = []
        for layout in layouts:
            outputs += [attention(tokens[:, context:], layout), attention(tokens, layout, mask)]
        for output, given in zip(outputs, [NUM_TOKENS, context + NUM_TOKENS] * 2, strict=True):
            finite(output, (2, given, WIDTH), "tokens")
        return outputs

    for block in range(2):
        one = functools.partial(made, make, width=WIDTH, num_heads=HEADS, block=block, num_blocks=2)
        check_module(one, run)
        attention = one().eval()

        @torch.no_grad()
        def after(changed: slice | int, attention: Attention = attention) -> Tensor:
            x = tokens.clone()
            x[:, changed] += 1
            return attention(x, layouts[0], mask)

        seen, masked = after(slice(0)), after(slice(3, context))
        unseen = torch.allclose(seen[mask], masked[mask], atol=1e-5)
        assert unseen, "tokens attend to what the mask leaves out"
        reached = (seen != after(0)).any(-1)[:, context:].all()
        assert reached, "a context token must reach every token of the video"
        heard = (seen != after(-1)).any(-1)[:, 1:3].all()
        assert heard, "every token of the video must reach the context"


@checks("conditioning")
def _conditioning(make: Callable[..., Conditioning]) -> None:
    tokens, layout = torch.randn(2, NUM_TOKENS, WIDTH), Layout(GRID)
    times = torch.randn(2, 1, WIDTH), torch.randn(2, GRID[0], WIDTH)
    text, signals = text_signal(), {"text": SignalDims(vector=TEXT_DIM, tokens=TEXT_DIM)}
    sizes: dict[str, Any] = {"width": WIDTH, "num_heads": HEADS}

    class Whole(nn.Module):
        """Two blocks and the last norm around a conditioning."""

        def __init__(self, signals: dict[str, SignalDims] = signals) -> None:
            super().__init__()
            self.conditioning = made(make, **sizes, signals=signals)
            attentions = [Full(**sizes, block=block, num_blocks=2) for block in range(2)]
            self.blocks = nn.ModuleList(
                self.conditioning.make_block(one, nn.Linear(WIDTH, WIDTH)) for one in attentions
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
    whole = randomised(Whole())
    with torch.no_grad():
        one, each = run(whole)
        assert not torch.equal(one, run(whole, None)[0]), "text makes no difference"
        assert text.tokens is not None and text.mask is not None  # noqa: PT018
        padded = replace(text, tokens=text.tokens + (~text.mask).unsqueeze(-1))
        assert torch.allclose(one, run(whole, padded)[0], atol=1e-5), "padding is seen"
        assert not torch.equal(one, each), "times of frames make no difference"
        turned = ask(whole, times[1].flip(1), {"text": text})
        assert not torch.allclose(each, turned, atol=1e-5), "frames do not have times of their own"
        if whole.conditioning.vector_maps:  # as tokens, the same times stand at several frames
            equal = ask(whole, times[0].expand_as(times[1]), {"text": text})
            assert torch.allclose(one, equal, atol=1e-4), "frames of one time are not as one time"
    wordless = Whole({})
    sum(x.sum() for x in run(wordless, None)).backward()  # type: ignore[union-attr]
    unused = [name for name, p in wordless.named_parameters() if p.grad is None]
    assert not unused, f"without conditions nothing uses {', '.join(unused)}"
    several = {"one": SignalDims(5, 7), "two": SignalDims(3), "three": SignalDims(channels=2)}
    given = {
        "one": Signal(torch.randn(2, 5), torch.randn(2, 4, 7), torch.ones(2, 4, dtype=torch.bool)),
        "two": Signal(vector=torch.randn(2, GRID[0], 3)),
        "three": Signal(),
    }
    ask(Whole(several), times[0], given)


@checks("patchifier")
def _patchifier(make: Callable[..., Patchifier]) -> None:
    latents = torch.randn(2, CHANNELS, 4, 8, 8)

    def run(patchifier: Patchifier) -> list[Tensor]:
        grid = patchifier.grid(4, 8, 8)
        tokens = finite(patchifier.embed(latents), (2, math.prod(grid), WIDTH), "tokens")
        return [finite(patchifier.unembed(tokens, grid), (2, 6, 4, 8, 8), "latents")]

    check_module(lambda: made(make, in_channels=CHANNELS, out_channels=6, width=WIDTH), run)


@checks("positions")
def _positions(make: Callable[..., Positions]) -> None:
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
