"""UniPC of order 2 (Zhao et al. 2023, algorithms 1 and 2), predicting data, B(h) = e^h - 1."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Denoise, Noise, Sampler, levels


@register("unipc")
class UniPC(Sampler):
    """Predicts a step from two estimates, and corrects it by the one that it leads to.

    The correction costs nothing: the next step asks for that estimate anyway. The first step, which
    knows one estimate, and the last, which ends at an infinite log-SNR, are predicted with first
    order. Draws no noise. 10 to 20 steps are often enough.
    """

    def walk(
        self, denoise: Denoise, latents: Tensor, times: Tensor, schedule: Schedule, noise: Noise
    ) -> Tensor:
        alpha, sigma, log_snr = levels(schedule, times)

        def step(
            i: int, x: Tensor, now: Tensor, before: Tensor | None, after: Tensor | None = None
        ) -> Tensor:
            """From x at ``times[i]`` to the next time, by estimates then, before and after."""
            h = log_snr[i + 1] - log_snr[i]
            b = (-h).expm1()
            change: Tensor | float = 0.0
            if before is None and after is not None:
                change = (after - now) / 2
            elif before is not None:
                # Where the step before came from pure noise, r is infinite and before adds nothing.
                r = (log_snr[i - 1] - log_snr[i]) / h
                slope = (before - now) / r
                if after is None:
                    change = slope / 2
                else:  # theorem 3.1: two conditions on the weights of both differences
                    first = (b / -h - 1) / b
                    second = 2 * ((b / -h - 1) / -h - 1 / 2) / b
                    weight = (first - second) / (1 - r)
                    change = weight * slope + (first - weight) * (after - now)
            return sigma[i + 1] / sigma[i] * x - alpha[i + 1] * b * (now + change)

        start = latents
        now: Tensor | None = None
        before: Tensor | None = None
        for i in range(self.num_steps):
            x0 = denoise(latents, times[i]).x0
            if now is not None:
                latents = step(i - 1, start, now, before, x0)
            last = i == self.num_steps - 1
            start, before, now = latents, None if last else now, x0
            latents = step(i, latents, now, before)
        return latents
