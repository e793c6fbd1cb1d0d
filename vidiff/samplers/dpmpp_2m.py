"""DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Denoise, Noise, Sampler, levels


@register("dpmpp_2m")
class DPMSolverPP2M(Sampler):
    """Second order, from the last two estimates of the clean latents.

    The flow is solved exactly but for the estimate, which is taken to move on a straight line in
    the log-SNR. The first step, which knows one estimate, and the last, which ends at an infinite
    log-SNR, are of first order: DDIM's. Draws no noise. 10 to 20 steps are often enough.
    """

    def walk(
        self, denoise: Denoise, latents: Tensor, times: Tensor, schedule: Schedule, noise: Noise
    ) -> Tensor:
        alpha, sigma, log_snr = levels(schedule, times)
        before: Tensor | None = None
        for i in range(self.num_steps):
            x0 = denoise(latents, times[i]).x0
            h, estimate = log_snr[i + 1] - log_snr[i], x0
            if before is not None and times[i + 1] > 0:
                # Where the step before came from pure noise, r is infinite and this adds nothing.
                r = (log_snr[i] - log_snr[i - 1]) / h
                estimate = x0 + (x0 - before) / (2 * r)
            latents = sigma[i + 1] / sigma[i] * latents - alpha[i + 1] * (-h).expm1() * estimate
            before = x0
        return latents
