"""Samplers on a problem with a known answer: the ideal denoiser of Gaussian data is linear."""

import itertools
import math
from functools import partial

import pytest
import torch

from vidiff.diffusion.predictions import Denoised, expand
from vidiff.diffusion.schedules import EDM, Cosine, LinearBeta, Rectified
from vidiff.registry import get_component, list_components
from vidiff.samplers import DDIM, DDPM, Euler, EulerMaruyama, Heun
from vidiff.samplers.spacing import Even, Karras, SiT

MEAN, STD = 0.7, 0.3
NOISY = ["ddpm", "euler_maruyama"]


def ideal(schedule):
    """The posterior mean of N(MEAN, STD^2) data, and the noise that goes with it."""

    def denoise(x_t, t):
        alpha, sigma = expand(schedule.alpha(t), x_t), expand(schedule.sigma(t), x_t)
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        sample = MEAN + gain * (x_t - alpha * MEAN)
        return Denoised(sample, (x_t - alpha * sample) / sigma)

    return denoise


def noise(count=4000):
    return torch.randn(count, 1, 1, 1, 1, generator=torch.Generator().manual_seed(0))


def draw(sampler, schedule, start=None):
    torch.manual_seed(1)
    start = noise() if start is None else start
    return sampler(ideal(schedule), start, schedule, lambda: torch.randn_like(start))


def exact(schedule, t, start):
    """Where the probability flow takes noise: deviations from the mean keep their share."""
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    spread = (alpha**2 * STD**2 + sigma**2).sqrt()
    return MEAN + STD * (schedule.start_scale(t) * start - alpha * MEAN) / spread


def make(sampler, schedule, **settings):
    """The sampler and the schedule, set so that the last step is short."""
    schedule = get_component("schedule", schedule).cls()
    if isinstance(schedule, EDM):
        settings["spacing"] = Karras
    if sampler == "euler_maruyama":
        settings.setdefault("spacing", partial(SiT, last_step=1 / settings["num_steps"]))
    return get_component("sampler", sampler).cls(**settings), schedule


@pytest.mark.parametrize("schedule", list_components("schedule"))
@pytest.mark.parametrize("sampler", list_components("sampler"))
def test_reaches_the_distribution_of_the_data(sampler, schedule):
    sampler, schedule = make(sampler, schedule, num_steps=200)
    if sampler.incompatibility(schedule):
        with pytest.raises(ValueError, match="does not fit"):
            draw(sampler, schedule)
        return
    x = draw(sampler, schedule)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(STD, rel=0.06)


@pytest.mark.parametrize("schedule", list_components("schedule"))
@pytest.mark.parametrize("sampler", sorted(set(list_components("sampler")) - set(NOISY)))
def test_without_fresh_noise_each_noise_has_its_video(sampler, schedule):
    sampler, schedule = make(sampler, schedule, num_steps=100)
    start = noise(64)
    expected = exact(schedule, sampler.times(schedule)[0].float(), start)
    assert (draw(sampler, schedule, start) - expected).abs().mean() < 0.015


@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("schedule", list_components("schedule"))
@pytest.mark.parametrize("sampler", list_components("sampler"))
def test_few_steps_are_finite_from_the_very_noise(sampler, schedule, num_steps):
    cls, schedule = get_component("sampler", sampler).cls, get_component("schedule", schedule).cls()
    sampler = cls(num_steps=num_steps)
    if sampler.incompatibility(schedule) is None:
        assert draw(sampler, schedule, noise(8)).isfinite().all()


@pytest.mark.parametrize("schedule", [Rectified(), Cosine(), EDM()])
@pytest.mark.parametrize(
    ("sampler", "ratios"),
    [
        ("euler", (1.8, 2.2)),
        ("ddim", (1.8, 2.2)),
        ("heun", (3.6, 4.8)),
        ("dpmpp_2m", (3.6, 4.8)),
        ("unipc", (7.0, 14.0)),  # order 2 + 1: the correction adds one (theorem 3.1)
    ],
)
def test_order_of_convergence(sampler, ratios, schedule):
    """Twice the steps divide the error by two to the power of the order."""
    start, errors = noise(64), []
    for num_steps in (16, 32, 64):
        cls = get_component("sampler", sampler).cls
        walk = cls(num_steps=num_steps, spacing=partial(Karras, sigma_range=(0.002, 20.0)))
        expected = exact(schedule, walk.times(schedule)[0].float(), start)
        errors.append((draw(walk, schedule, start) - expected).abs().mean())
    assert all(ratios[0] < a / b < ratios[1] for a, b in itertools.pairwise(errors)), errors


@pytest.mark.parametrize("sampler", list_components("sampler"))
def test_more_steps_come_closer(sampler):
    cls = get_component("sampler", sampler).cls
    schedule = Rectified() if cls().incompatibility(Rectified()) is None else Cosine()
    few, many = ((draw(cls(num_steps=n), schedule).std() - STD).abs() for n in (4, 64))
    assert few > 3 * many


@pytest.mark.parametrize("schedule", [LinearBeta(), Cosine()])
@pytest.mark.parametrize(
    "sampler",
    [DDIM(200, eta=1.0), DDIM(200, eta=0.5), DDPM(200, variance="large"), Heun(100, s_churn=20)],
)
def test_fresh_noise_reaches_the_distribution_too(sampler, schedule):
    x = draw(sampler, schedule)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(STD, rel=0.06)


@pytest.mark.parametrize(
    ("diffusion", "scale"),
    [
        ("sbdm", 1.0), ("sigma", 1.0), ("linear", 1.0), ("constant", 0.03), ("decreasing", 1.0),
        ("increasing_decreasing", 1.0), ("sigma", 0.0), ("decreasing", 0.8),
    ],
)  # fmt: skip
def test_every_diffusion_coefficient_keeps_the_distributions(diffusion, scale):
    x = draw(EulerMaruyama(400, diffusion=diffusion, scale=scale), Rectified())
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(STD, rel=0.06)


@pytest.mark.parametrize(
    ("diffusion", "scale", "expected"),
    [("sigma", 1.0, 4), ("sigma", 0.0, 0), ("decreasing", 0.0, 4)],
)
def test_noise_is_drawn_in_every_step_but_the_last(diffusion, scale, expected):
    drawn, start = [], noise(2)

    def fresh():
        drawn.append(1)
        return torch.zeros_like(start)

    sampler = EulerMaruyama(5, diffusion=diffusion, scale=scale)
    sampler(ideal(Rectified()), start, Rectified(), fresh)
    assert len(drawn) == expected


def test_ddim_and_euler_are_one_on_the_straight_path():
    torch.testing.assert_close(
        draw(DDIM(num_steps=7), Rectified()), draw(Euler(num_steps=7), Rectified())
    )


def test_one_step_is_the_posterior_mean():
    """From pure noise the best single guess is the mean of the data."""
    x = draw(Euler(num_steps=1), Rectified())
    torch.testing.assert_close(x, torch.full_like(x, MEAN))


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        *[(name, 10) for name in list_components("sampler") if name != "heun"],
        ("heun", 19),
    ],
)
def test_cost_is_what_the_documentation_says(sampler, expected):
    cls, calls = get_component("sampler", sampler).cls, []

    def denoise(x_t, t):
        calls.append(t)
        return Denoised(x_t, x_t)

    cls(num_steps=10)(denoise, noise(2), LinearBeta(), lambda: noise(2))
    assert len(calls) == expected
    assert all(t.shape == (2,) and t.dtype == torch.float32 for t in calls)


# -- Times --------------------------------------------------------------------------------------


def test_shift_moves_times_towards_noise_and_keeps_the_ends():
    plain, moved = (Even(shift=s)(10, Rectified()) for s in (1.0, 3.0))
    assert (moved[1:-1] > plain[1:-1]).all()
    assert moved[[0, -1]].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("schedule", list_components("schedule"))
def test_karras_spaces_noise_levels_as_edm_does(schedule):
    """Karras et al. 2022, eq. 5; whatever the schedule, as far as it reaches."""
    schedule = get_component("schedule", schedule).cls()
    times = Karras(sigma_range=(0.05, 50.0))(10, schedule)
    levels = [(50 ** (1 / 7) + i / 9 * (0.05 ** (1 / 7) - 50 ** (1 / 7))) ** 7 for i in range(10)]
    assert times[-1] == 0
    assert schedule.noise_ratio(times[:-1]).tolist() == pytest.approx(levels, rel=1e-4)


@pytest.mark.parametrize("schedule", list_components("schedule"))
def test_noise_levels_stay_where_the_schedule_has_any(schedule):
    schedule = get_component("schedule", schedule).cls()
    times = Karras(sigma_range=(1e-9, 1e9))(10, schedule)
    assert (times.diff() < 0).all()
    assert times[[-2, 0]].tolist() == pytest.approx(schedule.margins, rel=1e-6)


def test_last_step_of_the_sde_has_a_length_of_its_own():
    """SiT: evenly from noise to the last step."""
    times = EulerMaruyama(4, spacing=partial(SiT, last_step=0.1)).times(Rectified())
    assert times.tolist() == pytest.approx([1, 0.7, 0.4, 0.1, 0])
    start = EulerMaruyama(4, diffusion="sbdm").times(Rectified())[0]
    assert start == Rectified().margins[1]  # where its coefficient is finite


def test_churn_adds_what_takes_noise_to_the_raised_level():
    sampler, schedule = Heun(10, s_churn=2.0, s_noise=1.0), Rectified()
    t = torch.tensor(0.5, dtype=torch.float64)
    x = torch.full((1, 1, 1, 1, 1), 3.0)
    churned, raised = sampler.churned(x, t, schedule, lambda: torch.ones_like(x))
    assert schedule.noise_ratio(raised).item() == pytest.approx(1.2)  # (1 + 2 / 10) 1
    alpha, sigma = schedule.alpha(raised), schedule.sigma(raised)
    added = math.sqrt(sigma**2 - (alpha / 0.5 * 0.5) ** 2)
    assert churned.item() == pytest.approx(3.0 * alpha / 0.5 + added)
    for outside in (Heun(10, s_churn=2.0, s_tmin=1.1), Heun(10, s_churn=2.0, s_tmax=0.9), Heun(10)):
        assert outside.churned(x, t, schedule, lambda: pytest.fail("drew noise"))[1] == t


# -- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", list_components("sampler"))
def test_refuses_what_is_no_walk(sampler):
    with pytest.raises(ValueError, match="num_steps must be at least 1"):
        get_component("sampler", sampler).cls(num_steps=0)


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (DDIM, {"eta": 1.1}),
        (DDPM, {"variance": "learned"}),
        (DDPM, {"clip": 0.0}),
        (Heun, {"s_churn": -1.0}),
        (EulerMaruyama, {"diffusion": "sbmd"}),
        (EulerMaruyama, {"scale": -1.0}),
        (SiT, {"last_step": 0.0}),
        (Even, {"shift": 0.0}),
        (Karras, {"rho": 0.0}),
        (Karras, {"sigma_range": (2.0, 1.0)}),
    ],
)
def test_refuses_settings_out_of_their_range(cls, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        cls(**settings)


@pytest.mark.parametrize("schedule", [Rectified(), EDM()])
def test_ancestral_sampling_names_the_samplers_that_fit_instead(schedule):
    with pytest.raises(
        ValueError, match=r"DDPM does not fit .* = 1; these fit: ddim, .*unipc"
    ) as e:
        DDPM().check(schedule)
    assert "ddpm" not in str(e.value).split("these fit")[1]
    DDPM().check(LinearBeta())
