"""Conformance of noise schedules, predictions, times, weights, samplers and guidance."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection

import torch
from torch import Tensor

from vidiff.diffusion.loss_weights import LossWeight
from vidiff.diffusion.predictions import Denoised, Flow, Prediction
from vidiff.diffusion.schedules import EDM, LinearBeta, Rectified, Schedule
from vidiff.diffusion.time_samplers import TimeSampler
from vidiff.guidance import Guidance, Steered
from vidiff.model import Model
from vidiff.samplers import Sampler
from vidiff.samplers.spacing import Spacing
from vidiff.testing.common import checks, finite, refuses
from vidiff.testing.sizes import CHANNELS
from vidiff.types import Known


@checks("schedule")
def _schedule(make: Callable[..., Schedule]) -> None:
    schedule, t = make(), torch.linspace(0.05, 0.95, 19)
    zero = torch.zeros(1)
    low, high = schedule.margins
    assert 0 < low < high <= 1, f"margins must be 0 < low < high <= 1, got {low}, {high}"
    assert torch.allclose(schedule.alpha(zero), torch.ones(1), atol=1e-3), "alpha(0) must be 1"
    assert torch.allclose(schedule.sigma(zero), zero, atol=1e-2), "sigma(0) must be 0"
    assert (schedule.alpha(t).diff() <= 0).all(), "alpha must not rise"
    assert (schedule.sigma(t).diff() >= 0).all(), "sigma must not fall"
    assert (schedule.noise_ratio(t).diff() > 0).all(), "sigma / alpha must rise"
    found = schedule.time_at(schedule.noise_ratio(t.double()))
    assert torch.allclose(found, t.double(), atol=1e-6), "time_at must undo noise_ratio"
    for value, derivative in (
        (schedule.alpha, schedule.alpha_derivative),
        (schedule.sigma, schedule.sigma_derivative),
    ):
        slope = (value(t.double() + 1e-3) - value(t.double() - 1e-3)) / 2e-3
        finite(derivative(torch.tensor([low, *t.tolist(), high])), (21,), "derivative")
        assert value(t.double()).dtype == torch.float64, "the answer must have the times' precision"
        error = (slope - derivative(t)).abs() / (1 + slope.abs())
        assert error.max() < 0.05, f"{derivative.__name__} is off by {error.max():.3f}"
    if schedule.variance_preserving:
        power = schedule.alpha(t).square() + schedule.sigma(t).square()
        assert torch.allclose(power, torch.ones(19), atol=1e-5), "it does not preserve variance"
    start = finite(schedule.start_scale(torch.ones(1)), (1,), "start_scale")
    assert (start > 0).all(), "start_scale must be positive"
    times = finite(schedule.network_time(t), (19,), "network_time").diff()
    assert (times > 0).all() or (times < 0).all(), "network_time must tell times apart"


@checks("prediction")
def _prediction(make: Callable[..., Prediction]) -> None:
    prediction, schedule = make(), Rectified()
    sample, noise = torch.randn(2, 2, CHANNELS, 2, 4, 4).unbind(0)
    t = torch.tensor([0.3, 0.7])
    x_t = (1 - t).view(-1, 1, 1, 1, 1) * sample + t.view(-1, 1, 1, 1, 1) * noise
    target = finite(prediction.target(sample, noise, schedule, t), tuple(sample.shape), "target")
    denoised = prediction.denoised(target, x_t, schedule, t)
    assert torch.allclose(denoised.x0, sample, atol=1e-4), "a right answer gives other latents"
    assert torch.allclose(denoised.noise, noise, atol=1e-4), "a right answer gives other noise"
    scale = prediction.input_scale(schedule, t)
    if scale is not None:
        assert (finite(scale, (2,), "input_scale") > 0).all(), "input_scale must be positive"
    for end in (schedule.margins[0], 1.0):
        ends = prediction.denoised(torch.ones_like(x_t), x_t, schedule, torch.full((2,), end))
        finite(ends.x0, tuple(sample.shape), f"sample at t = {end}")
        finite(ends.noise, tuple(sample.shape), f"noise at t = {end}")


@checks("time_sampler")
def _time_sampler(make: Callable[..., TimeSampler]) -> None:
    sampler, schedule = make(), Rectified()
    times = finite(sampler(512, torch.device("cpu"), schedule), (512,), "times")
    assert times.dtype == torch.float32
    assert ((times >= 0) & (times <= 1)).all(), "times lie in [0, 1]"
    drawn = sampler.draw(torch.zeros(8, CHANNELS, 3, 4, 4), schedule)
    assert tuple(drawn.shape) in ((8,), (8, 3)), f"draw gives (b,) or (b, f), got {drawn.shape}"
    quantiles = sampler.quantile(torch.linspace(0.01, 0.99, 99), schedule)
    assert (quantiles.diff() >= 0).all(), "quantile must rise"


@checks("loss_weight")
def _loss_weight(make: Callable[..., LossWeight]) -> None:
    for schedule in (Rectified(), LinearBeta()):
        weight = make()(schedule, Flow(), torch.linspace(*schedule.margins, 99))
        assert (finite(weight, (99,), "weights") >= 0).all(), "weights must not be negative"
        each = make()(schedule, Flow(), torch.full((2, 3), 0.5))
        finite(each, (2, 3), "weights of frames' times")


@checks("spacing")
def _spacing(make: Callable[..., Spacing]) -> None:
    spacing = make()
    for schedule, start in itertools.product((Rectified(), LinearBeta()), (1.0, 0.9)):
        for num_steps in (1, 2, 7):
            times = finite(spacing(num_steps, schedule, start), (num_steps + 1,), "times")
            assert times.dtype == torch.float64, "times must be float64"
            assert times[-1] == 0, "the last time must be 0"
            assert times[0] <= start, f"no time may be later than start, {start}"
            assert (times.diff() <= 0).all(), "times must fall"


@checks("sampler")
def _sampler(make: Callable[..., Sampler]) -> None:
    sample = torch.randn(2, CHANNELS, 2, 4, 4)
    mask = torch.zeros(2, 1, 2, 4, 4)
    mask[:, :, 0] = 1
    known = Known(torch.randn_like(sample), mask)
    walked = 0
    for schedule in (Rectified(), LinearBeta(), EDM()):
        sampler, latents = make(), torch.randn_like(sample)

        def denoise(x_t: Tensor, t: Tensor, schedule: Schedule = schedule) -> Denoised:
            assert t.shape == (len(x_t),), f"times must be ({len(x_t)},), got {tuple(t.shape)}"
            assert t.dtype == torch.float32, f"times must be float32, got {t.dtype}"
            assert (t > 0).all(), "a network must not be asked about clean latents"
            alpha, sigma = (f(t).view(-1, 1, 1, 1, 1) for f in (schedule.alpha, schedule.sigma))
            return Denoised(sample, (x_t - alpha * sample) / sigma)

        def given(x_t: Tensor, t: Tensor, schedule: Schedule = schedule) -> Denoised:
            assert torch.equal(x_t[:, :, 0], known.latents[:, :, 0]), "known frames were touched"
            assert (t[:, 0] == 0).all(), "the time of known frames must be 0"
            return denoise(x_t, t[:, 1].contiguous(), schedule)

        name, noise = type(schedule).__name__, functools.partial(torch.randn_like, sample)
        walk = functools.partial(sampler, denoise, latents, schedule, noise)
        if sampler.incompatibility(schedule) is not None:
            assert refuses(walk), f"{name} does not fit, so it must raise ValueError"
            continue
        walked += 1
        found = finite(walk(), tuple(sample.shape), "latents")
        assert found.dtype == latents.dtype, f"latents must stay {latents.dtype}, got {found.dtype}"
        error = (found - sample).abs().max()
        assert error < 0.02, f"given the answer at each step, it ends {error:.3f} off it on {name}"
        kept = sampler(given, latents, schedule, noise, known)
        assert torch.equal(kept[:, :, 0], known.latents[:, :, 0]), "known frames must stay"
        missed = (kept - sample)[:, :, 1].abs().max()
        assert missed < 0.02, f"what is not known ends {missed:.3f} beside the answer on {name}"
    assert walked, "it fits neither Rectified, nor LinearBeta, nor EDM"


class _Answers(Steered):
    """In the place of a model: x0 under all conditions, and under fewer."""

    def __init__(self, x0: Tensor, contrast: Tensor, variance: Tensor | None = None) -> None:
        self.x0, self.contrast, self.variance = x0, contrast, variance

    @property
    def names(self) -> list[str]:
        return ["text", "frames"]

    def of(self, other: Model) -> Steered:
        return _Answers(self.contrast, self.contrast)

    def __call__(self, x_t: Tensor, t: Tensor, without: Collection[str] = ()) -> Denoised:
        # On the straight path, at t = 1 / 4.
        x0 = self.contrast if without else self.x0
        return Denoised(x0, 4 * x_t - 3 * x0, None if without else self.variance)


@checks("guidance")
def _guidance(make: Callable[..., Guidance]) -> None:
    x_t, t = torch.randn(2, CHANNELS, 2, 4, 4), torch.full((2,), 0.25)
    variance = torch.randn_like(x_t)
    guidance, x0 = make(), torch.randn_like(x_t)
    guided = guidance(_Answers(x0, x0, variance), x_t, t)
    assert torch.allclose(guided.x0, x0, atol=1e-5), "conditions that make no difference guide"
    assert guided.variance is variance, "the variance must be that under all conditions"
    for scale in (1.0, 3.0):
        guidance.scale = scale
        guided = guidance(_Answers(x0, torch.randn_like(x_t)), x_t, t)
        finite(guided.x0, tuple(x_t.shape), "clean latents")
        mixed = 0.75 * guided.x0 + 0.25 * guided.noise
        assert torch.allclose(mixed, x_t, atol=1e-4), "x0 and noise do not make up x_t"
    known = torch.tensor([[0.0, 0.25], [0.0, 0.25]])  # times, of clips whose first frame is known
    finite(guidance(_Answers(x0, x0), x_t, known).x0, tuple(x_t.shape), "clean latents")
