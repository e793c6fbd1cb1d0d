"""What is checked of the kind ``patchifier``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vidiff.building import made
from vidiff.patchifiers import Patchifier
from vidiff.testing.common import CHANNELS, WIDTH, check_module, finite


def check(make: Callable[..., Patchifier]) -> None:
    """Assert what the base class promises."""
    latents = torch.randn(2, CHANNELS, 4, 8, 8)

    def run(patchifier: Patchifier) -> list[Tensor]:
        grid = patchifier.grid(4, 8, 8)
        tokens = patchifier.embed(latents)
        finite(tokens, (2, grid[0] * grid[1] * grid[2], WIDTH), "tokens")
        return [finite(patchifier.unembed(tokens, grid), (2, 6, 4, 8, 8), "latents")]

    check_module(lambda: made(make, in_channels=CHANNELS, out_channels=6, width=WIDTH), run)
