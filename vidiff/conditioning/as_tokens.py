"""Time and conditions as tokens of their own (DiT, Peebles & Xie 2023, section 3.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import Tensor, nn

from vidiff.conditioning.base import Conditioning, Context, Route, joined
from vidiff.types import Signals


class AsTokens(Conditioning):
    """The time token, then conditions' tokens, or vectors as such (DiT, Peebles & Xie 2023)."""

    routes: ClassVar[tuple[Route, ...]] = (Route("tokens", "tokens"), Route("vector", "tokens"))

    def prepare(self, time: Tensor, signals: Signals) -> Context:
        context = super().prepare(time, signals)
        parts = [self.as_tokens(time)]
        if context.tokens is not None and context.mask is not None:
            parts.append((context.tokens, context.mask))
        tokens, mask = joined(parts)
        return replace(context, tokens=tokens, mask=mask)

    def make_last_norm(self) -> nn.Module:
        return PlainNorm(self.width)


class PlainNorm(nn.Module):
    """LayerNorm that the context does not touch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: Tensor, context: Context) -> Tensor:
        """Tokens (b, n, d) to the same shape."""
        return self.norm(tokens)
