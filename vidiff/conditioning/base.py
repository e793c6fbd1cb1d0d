"""What a way of conditioning promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.positions.base import Layout
from vidiff.registry import kind
from vidiff.types import TextFeatures


@dataclass
class Condition:
    """Time and text, made ready once per forward pass.

    Attributes:
        vector: (b, d), or wider if the class shares more, for modulation.
        tokens: (b, l, d), for attention; None where only the vector is used.
        mask: (b, l), True where a token is real.
    """

    vector: Tensor
    tokens: Tensor | None = None
    mask: Tensor | None = None


class Block(nn.Module, ABC):
    """One transformer block: self-attention and an MLP under a condition."""

    @abstractmethod
    def forward(self, tokens: Tensor, condition: Condition, layout: Layout) -> Tensor:
        """Tokens (b, k + n, d) to the same shape; k are those that ``enter`` put first."""


@kind("conditioning", given=("width", "num_heads", "text_dim"))
class Conditioning(nn.Module, ABC):
    """How diffusion time and the prompt reach the tokens.

    It prepares the condition once, makes every block of the transformer and the last norm, and may
    put tokens of its own before the video's.
    """

    @abstractmethod
    def prepare(self, time: Tensor, text: TextFeatures | None) -> Condition:
        """Join the time embedding (b, d) and the text, or the time alone, into a condition."""

    @abstractmethod
    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        """A block of these two layers.

        Raises:
            ValueError: if it has no use for this attention, with those that fit.
        """

    @abstractmethod
    def make_last_norm(self) -> nn.Module:
        """The norm before the output: ``norm(tokens, condition) -> tokens``."""

    def enter(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Video tokens (b, n, d) to what the blocks see, (b, k + n, d); as they are, by default."""
        return tokens

    def leave(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Undo ``enter``."""
        return tokens


class MakeConditioning(Protocol):
    """A way of conditioning with everything set but the dimensions."""

    def __call__(self, *, width: int, num_heads: int, text_dim: int) -> Conditioning: ...
