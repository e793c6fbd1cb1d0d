"""What is checked of the kind ``discriminator``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vidiff.discriminators import Discriminator
from vidiff.testing.common import check_module, finite


def check(make: Callable[..., Discriminator]) -> None:
    """Assert what the base class promises."""
    for frames in (1, 5):
        pixels = torch.rand(2, 3, frames, 32, 32) * 2 - 1

        def run(discriminator: Discriminator, pixels: Tensor = pixels) -> list[Tensor]:
            logits = discriminator(pixels)
            return [finite(logits, (2, 1, *logits.shape[2:]), "logits")]

        check_module(make, run)
