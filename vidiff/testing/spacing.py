"""What is checked of the kind ``spacing``."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

from vidiff.diffusion.schedules import LinearBeta, Rectified
from vidiff.samplers.spacing import Spacing
from vidiff.testing.common import finite


def check(make: Callable[..., Spacing]) -> None:
    """Assert what the base class promises."""
    spacing = make()
    for schedule, start in itertools.product((Rectified(), LinearBeta()), (1.0, 0.9)):
        for num_steps in (1, 2, 7):
            times = finite(spacing(num_steps, schedule, start), (num_steps + 1,), "times")
            assert times.dtype == torch.float64, "times must be float64"
            assert times[-1] == 0, "the last time must be 0"
            assert times[0] <= start, f"no time may be later than start, {start}"
            assert (times.diff() <= 0).all(), "times must fall"
