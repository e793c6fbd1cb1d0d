"""What a text encoder promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from torch import nn

from vidiff.registry import kind
from vidiff.types import TextFeatures


@kind("text_encoder")
class TextEncoder(nn.Module, ABC):
    """Prompts to features. An empty prompt is a prompt: what guidance contrasts with.

    Attributes:
        text_dim: width of the features.
        frozen: True if training must leave its parameters as they are.
    """

    text_dim: int
    frozen: bool = False

    @abstractmethod
    def forward(self, prompts: Sequence[str]) -> TextFeatures:
        """Features of b prompts, on the device of the encoder's parameters."""


class MakeTextEncoder(Protocol):
    """A text encoder with everything set."""

    def __call__(self) -> TextEncoder: ...
