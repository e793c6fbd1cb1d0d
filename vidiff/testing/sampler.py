"""What is checked of the kind ``sampler``."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import EDM, LinearBeta, Rectified, Schedule
from vidiff.samplers import Sampler
from vidiff.testing.common import CHANNELS, finite, refuses
from vidiff.types import Known


def check(make: Callable[..., Sampler]) -> None:
    """Assert what the base class promises."""
    sample = torch.randn(2, CHANNELS, 2, 4, 4)
    walked = 0
    for schedule in (Rectified(), LinearBeta(), EDM()):
        sampler, latents = make(), torch.randn_like(sample)

        def denoise(x_t: Tensor, t: Tensor, schedule: Schedule = schedule) -> Denoised:
            assert t.shape == (len(x_t),), f"times must be ({len(x_t)},), got {tuple(t.shape)}"
            assert t.dtype == torch.float32, f"times must be float32, got {t.dtype}"
            assert (t > 0).all(), "a network must not be asked about clean latents"
            alpha, sigma = (f(t).view(-1, 1, 1, 1, 1) for f in (schedule.alpha, schedule.sigma))
            return Denoised(sample, (x_t - alpha * sample) / sigma)

        walk = functools.partial(
            sampler, denoise, latents, schedule, lambda: torch.randn_like(sample)
        )
        name = type(schedule).__name__
        if sampler.misfit(schedule) is not None:
            assert refuses(walk), f"{name} does not fit, so it must raise ValueError"
            continue
        walked += 1
        found = finite(walk(), tuple(sample.shape), "latents")
        assert found.dtype == latents.dtype, f"latents must stay {latents.dtype}, got {found.dtype}"
        mask = torch.zeros(2, 1, 2, 4, 4)
        mask[:, :, 0] = 1
        known = Known(torch.randn_like(sample), mask)

        def given(
            x_t: Tensor, t: Tensor, known: Known = known, schedule: Schedule = schedule
        ) -> Denoised:
            assert torch.equal(x_t[:, :, 0], known.latents[:, :, 0]), "known frames were touched"
            assert (t[:, 0] == 0).all(), "the time of known frames must be 0"
            return denoise(x_t, t[:, 1].contiguous(), schedule)

        kept = sampler(given, latents, schedule, lambda: torch.randn_like(sample), known)
        assert torch.equal(kept[:, :, 0], known.latents[:, :, 0]), "known frames must stay"
        error = (found - sample).abs().max()
        assert error < 0.02, (
            f"with a denoiser that knows the answer, it ends {error:.3f} beside it on {name}"
        )
        missed = (kept - sample)[:, :, 1].abs().max()
        assert missed < 0.02, f"what is not known ends {missed:.3f} beside the answer on {name}"
    assert walked, "it fits neither Rectified, nor LinearBeta, nor EDM"
