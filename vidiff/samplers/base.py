"""Sampler interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from vidiff.checks import at_least
from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Schedule
from vidiff.finite import FiniteNotes
from vidiff.registry import fitting, kind
from vidiff.samplers.spacing import Even, MakeSpacing, Spacing
from vidiff.types import Known

Denoise = Callable[[Tensor, Tensor], Denoised]
"""Noisy latents (b, c, f, h, w) and times, (b,) or (b, f), to estimates of x0 and the noise."""

Noise = Callable[[], Tensor]
"""Fresh standard normal noise (b, c, f, h, w), each clip's from its own generator."""


@kind("sampler")
@dataclass(eq=False)
class Sampler(ABC):
    """Walks from noise to clean latents along a schedule; holds only settings.

    Args:
        num_steps: number of steps, each one call of the network.
        spacing: of the steps in time.
    """

    num_steps: int = 50
    spacing: MakeSpacing = Even
    spaced: Spacing = field(init=False)

    def __post_init__(self) -> None:
        at_least(1, num_steps=self.num_steps)
        self.spaced = self.spacing()

    def times(self, schedule: Schedule) -> Tensor:
        """Falling, the last one 0: (num_steps + 1,), see ``Spacing``."""
        return self.spaced(self.num_steps, schedule)

    def incompatibility(self, schedule: Schedule) -> str | None:
        """Why it cannot walk along a schedule; None if it can, as by default."""
        return None

    def check(self, schedule: Schedule) -> None:
        """Refuse a schedule that it cannot walk along, with the samplers that fit it."""
        reason = self.incompatibility(schedule)
        if reason is None:
            return
        raise ValueError(
            f"sampler {type(self).__name__} does not fit schedule {type(schedule).__name__}: "
            f"{reason}; these fit: {fitting('sampler', lambda cls: _fits(cls, schedule))}"
        )

    @torch.no_grad()
    def __call__(
        self,
        denoise: Denoise,
        latents: Tensor,
        schedule: Schedule,
        noise: Noise,
        known: Known | None = None,
    ) -> Tensor:
        """Turn latents (b, c, f, h, w), standard normal, into clean ones on a network's schedule.

        Known parts stay as they are; the time of frames that are known everywhere is 0.

        Raises:
            ValueError: if the sampler cannot walk along this schedule.
            FloatingPointError: if latents or estimates turned NaN or infinite; names the step.
        """
        self.check(schedule)
        times, notes = self.times(schedule), FiniteNotes()

        def ask(x_t: Tensor, t: Tensor) -> Denoised:
            batch = torch.full((len(x_t),), float(t), dtype=torch.float32, device=x_t.device)
            if known is None:
                denoised = denoise(x_t, batch)
            else:
                denoised = denoise(known.put(x_t), known.times(batch))
                # In the known parts the walk continues as if the estimate were right.
                noise_there = (x_t - schedule.alpha(t) * known.latents) / schedule.sigma(t)
                denoised.x0 = known.put(denoised.x0)
                denoised.noise = Known(noise_there, known.mask).put(denoised.noise)
            step = min(self.num_steps, 1 + int((times > t + 1e-9).sum()))
            where = f"at step {step} of {self.num_steps} (t = {float(t):.4g})"
            notes.note(f"noisy latents {where}", x_t)
            notes.note(f"the model's estimate of clean latents {where}", denoised.x0)
            return denoised

        start = latents * schedule.start_scale(times[0])
        found = self.walk(ask, start, times, schedule, noise)
        if known is not None:
            found = known.put(found)
        notes.note(f"latents after step {self.num_steps} of {self.num_steps}", found)
        notes.check()
        return found

    @abstractmethod
    def walk(
        self, denoise: Denoise, latents: Tensor, times: Tensor, schedule: Schedule, noise: Noise
    ) -> Tensor:
        """From x at ``times[0]`` to x at 0; ``denoise`` takes a scalar time for the whole batch."""


class MakeSampler(Protocol):
    """A sampler with everything set."""

    def __call__(self) -> Sampler: ...


def velocity(denoised: Denoised, schedule: Schedule, t: Tensor) -> Tensor:
    """``dx / dt = alpha' x_0 + sigma' noise``, the probability flow (Song et al. 2021, eq. 13)."""
    slope_sample, slope_noise = schedule.alpha_derivative(t), schedule.sigma_derivative(t)
    return slope_sample * denoised.x0 + slope_noise * denoised.noise


def levels(schedule: Schedule, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Alpha, sigma and DPM-Solver's lambda ``log(alpha / sigma)``, infinite where one is zero."""
    alpha, sigma = schedule.alpha(times), schedule.sigma(times)
    return alpha, sigma, alpha.log() - sigma.log()


def _fits(cls: type[Sampler], schedule: Schedule) -> bool:
    try:
        return cls().incompatibility(schedule) is None
    except TypeError:  # needs settings of its own
        return False
