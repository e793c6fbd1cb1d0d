"""Stops training soon after a loss that is not finite, without making every step wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_NEVER = 2**62


class FiniteGuard:
    """Remembers, on the device, the first step at which a term of the loss was not finite.

    Reading the device stalls it, so ``check`` is called every few steps and before each checkpoint:
    no checkpoint is written after a bad step, and the last good one stays.
    """

    def __init__(self) -> None:
        self.first_bad: dict[str, Tensor] = {}

    def watch(self, step: int, terms: dict[str, Tensor]) -> None:
        """Note the terms of one step's loss, scalars."""
        for name, term in terms.items():
            bad = torch.where(term.detach().isfinite(), _NEVER, step)
            earlier = self.first_bad.get(name)
            self.first_bad[name] = bad if earlier is None else torch.minimum(earlier, bad)

    def check(self, reduce: Callable[..., Any]) -> None:
        """Stop all processes if one of them met a bad step.

        Args:
            reduce: Lightning's ``strategy.reduce``.

        Raises:
            FloatingPointError: naming the step and the term.
        """
        if not self.first_bad:
            return
        names = sorted(self.first_bad)
        steps = torch.stack([self.first_bad[name] for name in names])
        steps = -reduce(-steps, reduce_op="max")
        first, name = min(zip(steps.tolist(), names, strict=True))
        if first < _NEVER:
            raise FloatingPointError(
                f"{name} was not finite at step {first}: training stops, and the last checkpoint "
                "before that step is kept. Lower the learning rate, clip gradients "
                "(trainer.gradient_clip_val), or look at the clips of that step"
            )
