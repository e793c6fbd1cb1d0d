"""Uniform times."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vidiff.checks import at_least
from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.time_samplers.base import TimeSampler
from vidiff.registry import register


@register("uniform")
@dataclass(eq=False, kw_only=True)
class Uniform(TimeSampler):
    """All times are equally likely.

    Args:
        num_steps: draw only k / ``num_steps`` for k = 1 .. ``num_steps``, the discrete steps of
            DDPM, off which a shift would move; None draws any time.
    """

    num_steps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num_steps=self.num_steps)
        if self.num_steps is not None and self.shift != 1:
            raise ValueError(
                f"shift must be 1 with num_steps={self.num_steps}, as it moves times off the "
                f"steps; got {self.shift}"
            )

    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        if self.num_steps is None:
            return u
        return (self.num_steps * u).floor().add(1).clamp(max=self.num_steps) / self.num_steps
