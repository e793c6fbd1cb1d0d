"""Uniform times."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.schedules import Schedule
from vidiff.diffusion.time_samplers.base import TimeSampler
from vidiff.registry import register


@register("uniform")
class Uniform(TimeSampler):
    """Every time is as likely.

    Args:
        shift: above 1 moves times towards noise, below 1 towards clean video.
        stratified: spread the times of a batch evenly.
        num_steps: draw only k / ``num_steps`` for k = 1 .. ``num_steps``, the discrete steps of
            DDPM; None draws any time.

    Raises:
        ValueError: if ``num_steps`` is below 1, or there is also a shift, which moves times off the
            steps, or ``shift`` is not positive.
    """

    def __init__(
        self, shift: float = 1.0, stratified: bool = True, num_steps: int | None = None
    ) -> None:
        super().__init__(shift, stratified)
        if num_steps is not None and num_steps < 1:
            raise ValueError(f"num_steps must be at least 1, got {num_steps}")
        if num_steps is not None and shift != 1:
            raise ValueError(
                f"shift must be 1 with num_steps={num_steps}, as it moves times off the steps; "
                f"got {shift}"
            )
        self.num_steps = num_steps

    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        if self.num_steps is None:
            return u
        return (self.num_steps * u).floor().add(1).clamp(max=self.num_steps) / self.num_steps
