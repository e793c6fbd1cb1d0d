"""What is checked of the kind ``loss_weight``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vidiff.diffusion.loss_weights import LossWeight
from vidiff.diffusion.predictions import Flow
from vidiff.diffusion.schedules import LinearBeta, Rectified
from vidiff.testing.common import finite


def check(make: Callable[..., LossWeight]) -> None:
    """Assert what the base class promises."""
    for schedule in (Rectified(), LinearBeta()):
        weight = make()(schedule, Flow(), torch.linspace(*schedule.margins, 99))
        assert (finite(weight, (99,), "weights") >= 0).all(), "weights must not be negative"
        each = make()(schedule, Flow(), torch.full((2, 3), 0.5))
        finite(each, (2, 3), "weights of frames' times")
