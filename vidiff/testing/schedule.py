"""What is checked of the kind ``schedule``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vidiff.diffusion.schedules import Schedule
from vidiff.testing.common import finite


def check(make: Callable[..., Schedule]) -> None:
    """Assert what the base class promises."""
    schedule, t = make(), torch.linspace(0.05, 0.95, 19)
    zero = torch.zeros(1)
    low, high = schedule.margins
    assert 0 < low < high <= 1, f"margins must be 0 < low < high <= 1, got {low}, {high}"
    assert torch.allclose(schedule.alpha(zero), torch.ones(1), atol=1e-3), "alpha(0) must be 1"
    assert torch.allclose(schedule.sigma(zero), zero, atol=1e-2), "sigma(0) must be 0"
    assert (schedule.alpha(t).diff() <= 0).all(), "alpha must not rise"
    assert (schedule.sigma(t).diff() >= 0).all(), "sigma must not fall"
    assert (schedule.noise_ratio(t).diff() > 0).all(), "sigma / alpha must rise"
    found = schedule.time_at(schedule.noise_ratio(t.double()))
    assert torch.allclose(found, t.double(), atol=1e-6), "time_at must undo noise_ratio"
    for value, derivative in (
        (schedule.alpha, schedule.alpha_derivative),
        (schedule.sigma, schedule.sigma_derivative),
    ):
        slope = (value(t.double() + 1e-3) - value(t.double() - 1e-3)) / 2e-3
        finite(derivative(torch.tensor([low, *t.tolist(), high])), (21,), "derivative")
        assert value(t.double()).dtype == torch.float64, "the answer must have the times' precision"
        error = (slope - derivative(t)).abs() / (1 + slope.abs())
        assert error.max() < 0.05, f"{derivative.__name__} is off by {error.max():.3f}"
    if schedule.variance_preserving:
        power = schedule.alpha(t).square() + schedule.sigma(t).square()
        assert torch.allclose(power, torch.ones(19), atol=1e-5), "it does not preserve variance"
    start = finite(schedule.start_scale(torch.ones(1)), (1,), "start_scale")
    assert (start > 0).all(), "start_scale must be positive"
    times = finite(schedule.network_time(t), (19,), "network_time").diff()
    assert (times > 0).all() or (times < 0).all(), "network_time must tell times apart"
