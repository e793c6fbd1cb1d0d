"""Scale and shift from a vector (adaLN): what the adaptive ways of conditioning share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidiff.conditioning.base import Condition, Conditioning
from vidiff.conditioning.text import text_map
from vidiff.types import TextFeatures


class PooledText(Conditioning):
    """Time and the pooled text are added up to one vector, which modulates every layer.

    The prompt enters as one vector, so word order reaches the video only through the text encoder.

    Args:
        width: width of a token.
        num_heads: not used.
        text_dim: width of the text features; 0 for a model without text.
        project_text: map the pooled text linearly; False adds it as it is, as DiT does with
            classes, and needs ``text_dim`` to be the width.

    Raises:
        ValueError: if text that is to be added as it is does not have the width of a token.
    """

    def __init__(
        self, *, width: int, num_heads: int, text_dim: int, project_text: bool = True
    ) -> None:
        super().__init__()
        self.width = width
        self.text = text_map(width, text_dim, project_text)

    def prepare(self, time: Tensor, text: TextFeatures | None) -> Condition:
        if text is None:
            return Condition(time)
        assert self.text is not None
        return Condition(time + self.text(text.pooled))

    def make_last_norm(self) -> nn.Module:
        return AdaptiveNorm(self.width)


class AdaptiveNorm(nn.Module):
    """LayerNorm with scale and shift from the condition's vector, starting at one and zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = ZeroLinear(width, 2 * width)

    def forward(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Tokens (b, n, d) to the same shape."""
        signal = self.modulation(nn.functional.silu(condition.vector)).unsqueeze(1)
        shift, scale = signal.chunk(2, dim=-1)
        return modulate(self.norm(tokens), shift, scale)


def modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """``tokens * (1 + scale) + shift``; tokens (b, n, d), shift and scale (b, 1, d)."""
    return torch.addcmul(shift, tokens, 1 + scale)


class ZeroLinear(nn.Linear):
    """A linear map that starts at zero."""

    def reset_parameters(self) -> None:
        """Called by the constructor."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
