"""Samplers against diffusers' schedulers and against the papers' algorithms, step by step."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch

from vidiff.diffusion import Objective
from vidiff.diffusion.predictions import Denoised, Epsilon, Flow
from vidiff.diffusion.schedules import EDM, Cosine, LinearBeta, Rectified
from vidiff.samplers import DDIM, DDPM, DPMSolverPP2M, Euler, EulerMaruyama, Heun, UniPC
from vidiff.samplers.spacing import Even, Karras, SiT

SHAPE = (2, 4, 3, 4, 4)


def network(x, t):
    """Any smooth function of both that is linear in neither; t in [0, 1]."""
    t = torch.as_tensor(t, dtype=torch.float32).reshape(-1, 1, 1, 1, 1)
    return (1.3 * x + 2 * t - 0.5).tanh() * (1 + t) + 0.1 * x.roll(1, -1)


def uncertain(x, t):
    """The same with a variance in further channels."""
    return torch.cat([network(x, t), (x - 3 * x.roll(1, 1)).sin()], dim=1)


def draws(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(SHAPE, generator=generator)


def walk(sampler, schedule, prediction, network=network, learn_variance=False):
    """All latents that the network is asked about, and those that it ends at."""
    objective = Objective(schedule, prediction, learn_variance=learn_variance)
    visited = []

    def denoise(x_t, t):
        visited.append(x_t)
        return objective.denoise(lambda x, _: network(x, t), x_t, t)

    visited.append(sampler(denoise, draws(0)(), schedule, draws()))
    return visited


def steps(scheduler, times, network=network, scale=1.0, **settings):
    """The same for a scheduler of diffusers, set to these times: one for each call."""
    x = scale * draws(0)()
    visited = [x]
    for step, t in zip(scheduler.timesteps, times, strict=True):
        x = scheduler.step(network(x, t), step, x, return_dict=False, **settings)[0].float()
        visited.append(x)
    return visited


def assert_same_steps(ours, theirs, tolerance=1e-5):
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.dtype == torch.float32
        error = (a - b).abs().max() / b.abs().max().clamp(min=1)
        assert error <= tolerance, f"call {i} is {error:.1e} off"


def discrete(name, num_steps, **settings):
    """A scheduler of diffusers on DDPM's betas, from pure noise as we do, and its times.

    It accumulates betas in float32, which alone is 1e-5 off; it is given the exact product.
    """
    diffusers = pytest.importorskip("diffusers")
    scheduler = getattr(diffusers, name)(timestep_spacing="trailing", **settings)
    scheduler.alphas_cumprod = LinearBeta().log_alphas[1:].mul(2).exp()
    scheduler.set_timesteps(num_steps)
    return scheduler, [(int(step) + 1) / 1000 for step in scheduler.timesteps]


# -- Ancestral and implicit ---------------------------------------------------------------------


@pytest.mark.parametrize("num_steps", [1000, 50])
@pytest.mark.parametrize("variance", ["small", "large", "learned"])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_ddpm(variance, clip, num_steps):
    kind = {"small": "fixed_small", "large": "fixed_large", "learned": "learned_range"}[variance]
    learned = variance == "learned"
    scheduler, times = discrete(
        "DDPMScheduler", num_steps, variance_type=kind, clip_sample=clip is not None
    )
    function = uncertain if learned else network
    sampler = DDPM(num_steps, variance="small" if learned else variance, clip=clip)
    ours = walk(sampler, LinearBeta(), Epsilon(), function, learned)
    theirs = steps(scheduler, times, function, generator=torch.Generator().manual_seed(1))
    if num_steps < 1000:  # respaced, it draws noise in the last step, unlike its paper
        ours, theirs = ours[:-1], theirs[:-1]
    assert_same_steps(ours, theirs)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim(eta):
    scheduler, times = discrete("DDIMScheduler", 50, clip_sample=False, set_alpha_to_one=True)
    ours = walk(DDIM(50, eta=eta), LinearBeta(), Epsilon())
    generator = torch.Generator().manual_seed(1)
    assert_same_steps(ours, steps(scheduler, times, eta=eta, generator=generator))


def test_ddpm_is_ddim_with_all_noise_fresh():
    """Song et al. 2021, section 4.1."""
    ours = walk(DDPM(50), Cosine(), Epsilon())
    assert_same_steps(ours, walk(DDIM(50, eta=1.0), Cosine(), Epsilon()))


# -- Flow and multistep -------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler(shift):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 20, 20))
    times = Euler(20, partial(Even, shift)).times(Rectified())
    torch.testing.assert_close(scheduler.sigmas.double(), times, atol=1e-6, rtol=0)
    theirs = steps(scheduler, times[:-1])
    assert_same_steps(walk(Euler(20, partial(Even, shift)), Rectified(), Flow()), theirs)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 10, 20])
@pytest.mark.parametrize(
    ("cls", "name", "settings"),
    [
        (DPMSolverPP2M, "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
        (UniPC, "UniPCMultistepScheduler", {"solver_type": "bh2"}),
    ],
)
@pytest.mark.parametrize("prediction", [Epsilon(), Flow()])
def test_multistep(cls, name, settings, prediction, num_steps, monkeypatch):
    settings |= {"solver_order": 2, "final_sigmas_type": "zero"}
    sampler = cls(num_steps)
    if isinstance(prediction, Flow):
        schedule, settings["prediction_type"] = Rectified(), "flow_prediction"
        diffusers = pytest.importorskip("diffusers")
        scheduler = getattr(diffusers, name)(use_flow_sigmas=True, **settings)
        scheduler.set_timesteps(num_steps)
        times = sampler.times(schedule)
        if cls is UniPC:  # it cannot start from pure noise, and nudges its first time as well
            times[0] = 1 - 1e-6
            monkeypatch.setattr(sampler, "times", lambda schedule: times)
    else:
        schedule = LinearBeta()
        scheduler, _ = discrete(name, num_steps, **settings)
        times = sampler.times(schedule)
    # Its own table of noise levels is rounded, and its flow ends elsewhere.
    scheduler.sigmas = times if isinstance(prediction, Flow) else schedule.noise_ratio(times)
    scheduler.set_begin_index(0)
    ours = walk(sampler, schedule, prediction)
    assert_same_steps(ours, steps(scheduler, times[:-1]))


def test_unipc_from_pure_noise_is_the_limit_of_starting_ever_closer(monkeypatch):
    """The step from pure noise says nothing of the slope of the next: 1 / r goes to zero."""
    ends = []
    for start in (1 - 1e-4, 1 - 1e-8, 1 - 1e-12, 1.0):
        sampler = UniPC(8)
        times = sampler.times(Rectified())
        times[0] = start
        monkeypatch.setattr(sampler, "times", lambda schedule, times=times: times)
        ends.append(walk(sampler, Rectified(), Flow())[-1])
    errors = [(end - ends[-1]).abs().max() for end in ends[:-1]]
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2] > 0
    assert errors[2] < 1e-3


# -- EDM ----------------------------------------------------------------------------------------


def test_heun():
    diffusers = pytest.importorskip("diffusers")
    sampler = Heun(12, Karras)
    levels = EDM().sigma(sampler.times(EDM()))
    edm = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    edm.set_timesteps(12)
    torch.testing.assert_close(edm.sigmas.double(), levels, rtol=1e-5, atol=0)
    scheduler = diffusers.HeunDiscreteScheduler(clip_sample=False)
    scheduler.set_timesteps(12)
    calls = torch.cat([levels[:1], levels[1:-1].repeat_interleave(2), levels[-1:]])
    scheduler.sigmas = calls
    scheduler.set_begin_index(0)
    theirs = steps(scheduler, calls[:-1] / 80, scale=80.0)
    assert_same_steps(walk(sampler, EDM(), Epsilon()), theirs)


def test_heun_with_churn():
    """Karras et al. 2022, algorithm 2, with the settings of table 5 for ImageNet."""
    s_churn, s_tmin, s_tmax, s_noise, n = 40.0, 0.05, 50.0, 1.003, 18
    ramp = [
        (80 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(n)
    ]
    noise, visited, churned = draws(), [], 0

    def slope(x, t):
        visited.append(x)
        return network(x.float(), t / 80).double()  # (x - D(x; t)) / t of a noise prediction

    x = 80 * draws(0)().double()
    for t, t_next in itertools.pairwise([*ramp, 0.0]):
        gamma = min(s_churn / n, math.sqrt(2) - 1) if s_tmin <= t <= s_tmax else 0.0
        t_hat, x_hat = t + gamma * t, x
        if gamma > 0:
            churned += 1
            x_hat = x + math.sqrt(t_hat**2 - t**2) * s_noise * noise().double()
        d = slope(x_hat, t_hat)
        x = x_hat + (t_next - t_hat) * d
        if t_next != 0:
            x = x_hat + (t_next - t_hat) * (d + slope(x, t_next)) / 2
    assert 5 < churned < n
    sampler = Heun(
        n, s_churn=s_churn, s_tmin=s_tmin, s_tmax=s_tmax, s_noise=s_noise, spacing=Karras
    )
    assert_same_steps(walk(sampler, EDM(), Epsilon()), [*visited, x])


# -- SiT ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("diffusion", ["sigma", "linear", "sbdm", "decreasing", "constant"])
def test_euler_maruyama(diffusion):
    """Ma et al. 2024, with time from noise to data as in their code, and their settings.

    There x_s = s data + (1 - s) noise, the network says v = data - noise, so that the score is
    (s v - x) / (1 - s); each step adds (v + D score) ds + sqrt(2 D ds) noise.
    """
    n, last, scale = 25, 0.04, 0.9
    start = 1e-3 if diffusion == "sbdm" else 0.0
    coefficient = {
        "sigma": lambda s: scale * (1 - s),
        "linear": lambda s: scale * (1 - s),
        # alpha' / alpha sigma^2 - sigma sigma', with alpha = s and sigma = 1 - s
        "sbdm": lambda s: scale * ((1 - s) ** 2 / s + (1 - s)),
        "decreasing": lambda s: 0.25 * (scale * math.cos(math.pi * s) + 1) ** 2,
        "constant": lambda s: scale,
    }[diffusion]
    noise, x, visited = draws(), draws(0)().double(), []

    def drift(x, s):
        visited.append(x)
        v = -network(x.float(), 1 - s).double()
        return v + coefficient(s) * (s * v - x) / (1 - s)

    grid = np.linspace(start, 1 - last, n)
    ds = grid[1] - grid[0]
    for s in grid[:-1]:
        moved = x + drift(x, s) * ds
        x = moved + math.sqrt(2 * coefficient(s) * ds) * noise().double()
    visited.append(x + drift(x, grid[-1]) * last)
    sampler = EulerMaruyama(n, diffusion=diffusion, scale=scale, spacing=partial(SiT, last))
    assert_same_steps(walk(sampler, Rectified(), Flow()), visited)


def test_half_precision_latents_keep_their_dtype():
    x = torch.randn(SHAPE).bfloat16()
    for cls in (DDIM, DDPM, DPMSolverPP2M, Euler, EulerMaruyama, Heun, UniPC):
        found = cls(4)(lambda x, t: Denoised(x, x), x, Cosine(), lambda: torch.randn_like(x))
        assert found.dtype == torch.bfloat16
