"""Time and text as one row of tokens: what cross-attention and in-context conditioning share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidiff.conditioning.base import Condition
from vidiff.conditioning.text import text_map
from vidiff.types import TextFeatures


class ContextTokens(nn.Module):
    """The time token, then the text's tokens (DiT, Peebles & Xie 2023, section 3.2).

    Args:
        width: width of a token.
        text_dim: width of the text features; 0 for a model without text.
        project_text: map the text's tokens linearly; False takes them as they are.

    Raises:
        ValueError: if text that is to be taken as it is does not have the width of a token.
    """

    def __init__(self, width: int, text_dim: int, project_text: bool) -> None:
        super().__init__()
        self.text = text_map(width, text_dim, project_text)

    def forward(self, time: Tensor, text: TextFeatures | None) -> Condition:
        """Time (b, d) and text features to 1 + l tokens."""
        tokens = time.unsqueeze(1)
        mask = torch.ones_like(tokens[..., 0], dtype=torch.bool)
        if text is not None:
            assert self.text is not None
            tokens = torch.cat([tokens, self.text(text.tokens)], dim=1)
            mask = torch.cat([mask, text.mask], dim=1)
        return Condition(time, tokens, mask)


class PlainNorm(nn.Module):
    """LayerNorm that the condition does not touch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Tokens (b, n, d) to the same shape."""
        return self.norm(tokens)
