"""What is checked of the kind ``time_sampler``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vidiff.diffusion.schedules import Rectified
from vidiff.diffusion.time_samplers import TimeSampler
from vidiff.testing.common import CHANNELS, finite


def check(make: Callable[..., TimeSampler]) -> None:
    """Assert what the base class promises."""
    sampler, schedule = make(), Rectified()
    times = finite(sampler(512, torch.device("cpu"), schedule), (512,), "times")
    assert times.dtype == torch.float32
    assert ((times >= 0) & (times <= 1)).all(), "times lie in [0, 1]"
    drawn = sampler.draw(torch.zeros(8, CHANNELS, 3, 4, 4), schedule)
    assert tuple(drawn.shape) in ((8,), (8, 3)), f"draw gives (b,) or (b, f), got {drawn.shape}"
    quantiles = sampler.quantile(torch.linspace(0.01, 0.99, 99), schedule)
    assert (quantiles.diff() >= 0).all(), "quantile must rise"
