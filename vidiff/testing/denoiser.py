"""What is checked of the kind ``denoiser``."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from vidiff.building import made
from vidiff.denoisers import Denoiser
from vidiff.testing.common import CHANNELS, TEXT_DIM, check_module, finite, text_signal
from vidiff.types import Signal, SignalDims


def check(make: Callable[..., Denoiser]) -> None:
    """Assert what the base class promises."""
    latents, t = torch.randn(2, CHANNELS, 4, 8, 8), torch.tensor([10.0, 900.0])
    each = torch.tensor([[0.0, 10.0, 100.0, 900.0], [900.0, 0.0, 10.0, 5.0]])
    signals = {
        "text": SignalDims(vector=TEXT_DIM, tokens=TEXT_DIM), "frames": SignalDims(channels=3),
    }  # fmt: skip
    given = {"text": text_signal(), "frames": Signal(channels=torch.randn(2, 3, 4, 8, 8))}

    def run(denoiser: Denoiser) -> list[Tensor]:
        return [finite(denoiser(latents, t, given), (2, 6, 4, 8, 8), "prediction")]

    one = functools.partial(made, make, in_channels=CHANNELS, out_channels=6, signals=signals)
    check_module(one, run)
    denoiser = one()
    finite(denoiser(latents, t), (2, 6, 4, 8, 8), "prediction without conditions")
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.normal_(std=0.2)
        shared = denoiser(latents, t, given)
        finite(denoiser(latents, each, given), (2, 6, 4, 8, 8), "prediction by times of frames")
        assert not torch.equal(shared, denoiser(latents, each, given)), "times of frames are lost"
        other = {**given, "frames": Signal(channels=torch.zeros(2, 3, 4, 8, 8))}
        assert not torch.equal(shared, denoiser(latents, t, other)), "channels make no difference"
