"""What is checked of the kind ``prediction``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vidiff.diffusion.predictions import Prediction
from vidiff.diffusion.schedules import Rectified
from vidiff.testing.common import CHANNELS, finite


def check(make: Callable[..., Prediction]) -> None:
    """Assert what the base class promises."""
    prediction, schedule = make(), Rectified()
    sample, noise = torch.randn(2, 2, CHANNELS, 2, 4, 4).unbind(0)
    t = torch.tensor([0.3, 0.7])
    x_t = (1 - t).view(-1, 1, 1, 1, 1) * sample + t.view(-1, 1, 1, 1, 1) * noise
    target = finite(prediction.target(sample, noise, schedule, t), tuple(sample.shape), "target")
    denoised = prediction.denoised(target, x_t, schedule, t)
    assert torch.allclose(denoised.x0, sample, atol=1e-4), "a right answer gives other latents"
    assert torch.allclose(denoised.noise, noise, atol=1e-4), "a right answer gives other noise"
    scale = prediction.input_scale(schedule, t)
    if scale is not None:
        assert (finite(scale, (2,), "input_scale") > 0).all(), "input_scale must be positive"
    for end in (schedule.margins[0], 1.0):
        ends = prediction.denoised(torch.ones_like(x_t), x_t, schedule, torch.full((2,), end))
        finite(ends.x0, tuple(sample.shape), f"sample at t = {end}")
        finite(ends.noise, tuple(sample.shape), f"noise at t = {end}")
