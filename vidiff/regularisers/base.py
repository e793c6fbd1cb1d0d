"""Regulariser interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from vidiff.registry import kind


@kind("regulariser")
class Regulariser(ABC):
    """A term of the training loss on tokens inside the denoiser.

    Attributes:
        blocks: numbers of the blocks, from 1 on, whose tokens it reads.
    """

    blocks: tuple[int, ...]

    @abstractmethod
    def __call__(self, features: Mapping[int, Tensor]) -> Tensor:
        """The term, a scalar, of the video's tokens (b, n, d) after each of ``blocks``."""


class MakeRegulariser(Protocol):
    """A regulariser with everything set."""

    def __call__(self) -> Regulariser: ...
