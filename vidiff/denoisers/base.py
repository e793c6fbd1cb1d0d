"""What a denoiser promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn

from vidiff.registry import kind
from vidiff.types import TextFeatures


@kind("denoiser", given=("in_channels", "out_channels", "text_dim"))
class Denoiser(nn.Module, ABC):
    """The network: noisy latents, time and text to the objective's prediction."""

    @abstractmethod
    def forward(self, latents: Tensor, t: Tensor, text: TextFeatures | None = None) -> Tensor:
        """Predict.

        Args:
            latents: (b, in_channels, f, h, w), noisy.
            t: (b,), in the units of the schedule's ``network_time``.
            text: features of b prompts, or None for a model without text.

        Returns:
            (b, out_channels, f, h, w).

        Raises:
            ValueError: if the latents' size does not fit the patches.
        """

    def blocks_to_compile(self) -> list[nn.Module]:
        """What repeats over the depth: by default, members of the outermost ``nn.ModuleList``."""
        return list(listed(self))


def listed(module: nn.Module) -> Iterator[nn.Module]:
    """Members of each ``nn.ModuleList`` of a module that lies in no other."""
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else listed(child)


class MakeDenoiser(Protocol):
    """A denoiser with everything set but the dimensions."""

    def __call__(self, *, in_channels: int, out_channels: int, text_dim: int) -> Denoiser: ...
