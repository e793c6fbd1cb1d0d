"""Sampling when parts are known: they stay, and the rest is drawn given them."""

import math

import pytest
import torch
from test_samplers import make

from vidiff.diffusion.predictions import Denoised, expand
from vidiff.diffusion.schedules import Cosine
from vidiff.registry import get_component, list_components
from vidiff.types import Known

RHO, COUNT = 0.8, 4000


@pytest.mark.parametrize("schedule", list_components("schedule"))
@pytest.mark.parametrize("sampler", list_components("sampler"))
def test_known_parts_stay_and_the_rest_ends_at_the_answer(sampler, schedule):
    torch.manual_seed(0)
    sampler, schedule = make(sampler, schedule, num_steps=100)
    if sampler.incompatibility(schedule):
        pytest.skip("does not fit")
    answer, clean, latents = torch.randn(3, 2, 3, 4, 2, 2)
    mask = torch.zeros(2, 1, 4, 2, 2)
    mask[0, :, [0, 2]] = 1
    mask[1, :, 3], mask[1, ..., :1] = 1, 1
    known = Known(torch.where(mask > 0, clean, math.nan), mask)
    given, times = mask.expand_as(clean) > 0, []

    def denoise(x_t, t):
        assert torch.equal(x_t[given], clean[given])
        assert t.shape == (2, 4)
        assert (t[0, [0, 2]] == 0).all()
        assert t[1, 3] == 0
        rest = torch.cat([t[0, [1, 3]], t[1, :3]])
        assert (rest == rest[0]).all()
        times.append(float(rest[0]))
        now = rest[:1].expand(2)
        alpha, sigma = expand(schedule.alpha(now), x_t), expand(schedule.sigma(now), x_t)
        noise = (x_t - alpha * answer) / sigma
        # Of what is known a network may say anything.
        return Denoised(*(x.masked_fill(given, math.nan) for x in (answer, noise)))

    found = sampler(denoise, latents, schedule, lambda: torch.randn_like(latents), known)
    assert torch.equal(found[given], clean[given])
    torch.testing.assert_close(found[~given], answer[~given], atol=0.05, rtol=0)
    plain = []

    def without(x_t, t):
        plain.append(float(t[0]))
        alpha, sigma = expand(schedule.alpha(t), x_t), expand(schedule.sigma(t), x_t)
        return Denoised(answer, (x_t - alpha * answer) / sigma)

    sampler(without, latents, schedule, lambda: torch.randn_like(latents))
    assert times == plain


def test_nothing_known_is_the_walk_without():
    latents, schedule = torch.randn(2, 3, 4, 2, 2), Cosine()
    known = Known(torch.full_like(latents, math.nan), torch.zeros(2, 1, 4, 2, 2))

    def denoise(x_t, t):
        return Denoised(x_t.tanh(), x_t - x_t.tanh())

    for name in list_components("sampler"):
        sampler = get_component("sampler", name).cls(num_steps=5)
        walks = []
        for given in (None, known):
            generator = torch.Generator().manual_seed(0)
            fresh = lambda g=generator: torch.randn(latents.shape, generator=g)  # noqa: E731
            walks.append(sampler(denoise, latents, schedule, fresh, given))
        assert torch.equal(*walks), name


@pytest.mark.parametrize("sampler", list_components("sampler"))
def test_the_rest_is_drawn_given_what_is_known(sampler):
    """Two frames with correlation RHO: the second, given the first, is N(RHO first, 1 - RHO^2)."""
    torch.manual_seed(0)
    sampler, schedule = make(sampler, "rectified", num_steps=200)
    if sampler.incompatibility(schedule):
        schedule = Cosine()
    variance, first = 1 - RHO**2, torch.randn(COUNT)
    latents, mask = torch.zeros(COUNT, 1, 2, 1, 1), torch.zeros(COUNT, 1, 2, 1, 1)
    latents[:, 0, 0, 0, 0], mask[:, :, 0] = first, 1

    def denoise(x_t, t):
        (clean, noisy), now = x_t.view(COUNT, 2).T, t[:, 1]
        alpha, sigma = schedule.alpha(now), schedule.sigma(now)
        gain = alpha * variance / (alpha**2 * variance + sigma**2)
        second = RHO * clean + gain * (noisy - alpha * RHO * clean)
        x0 = torch.stack([clean, second], 1).view_as(x_t)
        return Denoised(x0, (x_t - expand(alpha, x_t) * x0) / expand(sigma, x_t))

    noise = torch.randn_like(latents)
    found = sampler(
        denoise, noise, schedule, lambda: torch.randn_like(latents), Known(latents, mask)
    )
    rest = found[:, 0, 1, 0, 0] - RHO * first
    assert rest.mean().item() == pytest.approx(0, abs=0.03)
    assert rest.std().item() == pytest.approx(math.sqrt(variance), rel=0.06)
    assert torch.corrcoef(torch.stack([rest, first]))[0, 1].item() == pytest.approx(0, abs=0.05)
