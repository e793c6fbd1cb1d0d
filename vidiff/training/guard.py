"""Stop training soon after a loss that is not finite or stays zero, without making steps wait.

Guards remember on the device. Reading it stalls it, so they are asked every few steps and before
each checkpoint: no checkpoint is written after a bad step, and the last good one stays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from vidiff.training.processes import Reduce

_NEVER = 2**62
_ZERO = 1e-8
"""Size up to which a term counts as zero."""


class Guard(ABC):
    """Watches the terms of the loss."""

    @abstractmethod
    def watch(self, step: int, terms: dict[str, Tensor]) -> None:
        """Note the terms of one step's loss, scalars."""

    @abstractmethod
    def check(self, reduce: Reduce) -> bool:
        """Whether all is well so far: the same on all processes.

        Raises:
            FloatingPointError: naming the step and the term, if training must stop.
        """


class FiniteGuard(Guard):
    """Remembers the first step at which a term was not finite, on any process."""

    def __init__(self) -> None:
        self.first_bad: dict[str, Tensor] = {}

    def watch(self, step: int, terms: dict[str, Tensor]) -> None:
        for name, term in terms.items():
            bad = torch.where(term.detach().isfinite(), _NEVER, step)
            self.first_bad[name] = torch.minimum(bad, self.first_bad.get(name, bad))

    def check(self, reduce: Reduce) -> bool:
        if not self.first_bad:
            return True
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
        return True


class ZeroGuard(Guard):
    """Remembers since when a term has been zero, on all processes; stops after some such steps."""

    def __init__(self, names: Sequence[str], patience: int, advice: str) -> None:
        self.names, self.patience, self.advice = names, patience, advice
        self.since: dict[str, Tensor] = {}
        self.step = 0

    def watch(self, step: int, terms: dict[str, Tensor]) -> None:
        self.step = step
        for name in self.names:
            if name in terms:
                zero = terms[name].detach().abs() <= _ZERO
                began = self.since.get(name, torch.full_like(zero, _NEVER, dtype=torch.long))
                self.since[name] = torch.where(zero, began.clamp(max=step), _NEVER)

    def check(self, reduce: Reduce) -> bool:
        if not self.since:
            return True
        names = sorted(self.since)
        steps = reduce(torch.stack([self.since[name] for name in names]), reduce_op="max")
        first, name = min(zip(steps.tolist(), names, strict=True))
        if self.step - first + 1 >= self.patience:
            raise FloatingPointError(
                f"{name} has been zero for {self.step - first + 1} steps, since step {first}: "
                f"training stops, and the last checkpoint before that step is kept. {self.advice}"
            )
        return first == _NEVER
