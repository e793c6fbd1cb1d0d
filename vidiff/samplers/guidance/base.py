"""What a guidance promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.registry import kind
from vidiff.samplers.base import Denoise


@kind("guidance")
class Guidance(ABC):
    """Joins a denoiser that knows the prompt with one that does not."""

    @abstractmethod
    def __call__(
        self, conditional: Denoise, unconditional: Denoise, x_t: Tensor, t: Tensor
    ) -> Denoised:
        """Guided estimates for noisy latents (b, c, f, h, w) at times (b,)."""


class MakeGuidance(Protocol):
    """A guidance with everything set."""

    def __call__(self) -> Guidance: ...
