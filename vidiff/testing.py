"""Conformance checks: does a component keep the promises of its kind?

A plugin's test is one line::

    from vidiff.testing import check_component

    def test_my_block() -> None:
        check_component("attention", "my_block")

Every check builds the component small, and compares what it does with what the base class's
docstring promises; a broken promise is an ``AssertionError`` that says which. vidiff's own tests
run the same checks over everything that is registered.
"""

from __future__ import annotations

import argparse
import copy
import functools
import inspect
import itertools
import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import docstring_parser
import torch
from torch import Tensor, nn

from vidiff.ablation.launchers import Handle, Job, Launcher
from vidiff.attention import Attention, Full
from vidiff.autoencoders import Autoencoder, Gaussian, Identity
from vidiff.building import describe, made
from vidiff.commands.base import Command, LightCommand
from vidiff.conditioning import Conditioning
from vidiff.conditions import Condition
from vidiff.data import VideoDataset, collate
from vidiff.denoisers import Denoiser
from vidiff.diffusion.loss_weights import LossWeight
from vidiff.diffusion.predictions import Denoised, Flow, Prediction
from vidiff.diffusion.schedules import EDM, LinearBeta, Rectified, Schedule
from vidiff.diffusion.time_samplers import TimeSampler
from vidiff.discriminators import Discriminator
from vidiff.doctor import Check
from vidiff.faults import place_of
from vidiff.guidance import Guidance, Steered
from vidiff.model import Model
from vidiff.optimizers import OptimizerRecipe
from vidiff.patchifiers import Patchifier
from vidiff.perceptual import Perceptual
from vidiff.plugins import load_builtin
from vidiff.positions import Layout, Positions
from vidiff.reconstruction import Reconstruction, ReconstructionMetric, Sums
from vidiff.registry import Component, get_component, get_kind
from vidiff.regularisers import Regulariser
from vidiff.samplers import Sampler
from vidiff.samplers.spacing import Spacing
from vidiff.types import Known, Sample, Signal, SignalDims, Signals, VideoSample

__all__ = ["check_component", "is_checked"]

WIDTH, HEADS, TEXT_DIM, CHANNELS = 24, 4, 16, 4
GRID = (2, 3, 4)
NUM_TOKENS = 24
PROMPTS = ["", "a red square moves left"]


def check_component(kind: str, name: str, **settings: Any) -> None:
    """Build a component with small dimensions and check what its kind promises.

    Args:
        kind: for example ``"attention"``.
        name: under which it is registered.
        settings: constructor arguments, where the defaults would be slow or some are required.

    Raises:
        AssertionError: if a promise is broken.
        ValueError: if there is no such component.
    """
    load_builtin()
    component = get_component(kind, name)
    try:
        _check_documented(component)
        _check_described(component, settings)
        check = _CHECKS.get(kind)
        if check is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                check(functools.partial(component.cls, **settings))
    except AssertionError as broken:
        raise AssertionError(f"{kind} {name!r} ({place_of(component.cls)}): {broken}") from broken


def is_checked(kind: str) -> bool:
    """Whether there are checks of a kind's own promises, besides those of every component."""
    return kind in _CHECKS


# -- What every component promises --------------------------------------------------------------


def _check_documented(component: Component) -> None:
    """A line for lists; a type and a line for each argument that a config can set."""
    assert component.summary, "the class needs a docstring"
    documented: set[str] = set()
    for base in component.cls.__mro__:
        parsed = docstring_parser.parse(base.__dict__.get("__doc__") or "")
        documented |= {parameter.arg_name for parameter in parsed.params}
    given = get_kind(component.kind).given
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(component.cls).parameters.values()
    arguments = {p.name: p for p in parameters if p.kind not in variadic and p.name not in given}
    missing = ", ".join(sorted(arguments.keys() - documented))
    assert not missing, f"the class's docstring has no line under Args: for {missing}"
    untyped = ", ".join(name for name, p in arguments.items() if p.annotation is p.empty)
    assert not untyped, f"no type for {untyped}, by which a config could be checked"
    for name, parameter in arguments.items():
        try:
            describe(None if parameter.default is parameter.empty else parameter.default)
        except TypeError:
            raise AssertionError(
                f"the default of {name}, {parameter.default!r}, is no plain value, so no config "
                "can hold it: take a number, a text, a list of such, a component's class or None"
            ) from None


def _check_described(component: Component, settings: dict[str, Any]) -> None:
    """Its arguments are plain values or parts, so that a checkpoint can say how it was built."""
    node = describe(functools.partial(component.cls, **settings))
    assert node["class_path"] == component.class_path


def _check_module(make: Callable[[], nn.Module], run: Callable[[Any], Iterable[Tensor]]) -> None:
    """Gradients reach every parameter, and a saved state gives the same outputs.

    All weights are random here: many components start at zero, where gradients are zero too.
    """
    module = make()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.2)
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if trained:
        torch.stack([x.square().mean() for x in run(module)]).sum().backward()
    cut = [name for name, p in trained.items() if p.grad is None or not p.grad.any()]
    assert not cut, f"no gradient reaches {', '.join(cut)}"
    loaded = make()
    loaded.load_state_dict(copy.deepcopy(module.state_dict()), strict=True)
    module.eval(), loaded.eval()
    with torch.no_grad():
        for before, after in zip(run(module), run(loaded), strict=True):
            assert torch.equal(before, after), "a loaded state gives other outputs"


def _finite(x: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    assert tuple(x.shape) == shape, f"{what} must be {shape}, got {tuple(x.shape)}"
    assert x.isfinite().all(), f"{what} must be finite"
    return x


# -- What each kind promises --------------------------------------------------------------------


def _check_patchifier(make: Callable[..., Patchifier]) -> None:
    latents = torch.randn(2, CHANNELS, 4, 8, 8)

    def run(patchifier: Patchifier) -> list[Tensor]:
        grid = patchifier.grid(4, 8, 8)
        tokens = patchifier.embed(latents)
        _finite(tokens, (2, grid[0] * grid[1] * grid[2], WIDTH), "tokens")
        return [_finite(patchifier.unembed(tokens, grid), (2, 6, 4, 8, 8), "latents")]

    _check_module(lambda: made(make, in_channels=CHANNELS, out_channels=6, width=WIDTH), run)


def _check_positions(make: Callable[..., Positions]) -> None:
    tokens, context = torch.randn(2, NUM_TOKENS, WIDTH), torch.randn(2, 5, WIDTH)

    def run(positions: Positions) -> list[Tensor]:
        rotary = positions.rotary(GRID, torch.device("cpu")) or ()
        for table in rotary:
            _finite(table, (NUM_TOKENS, WIDTH // HEADS // 2), "cosines and sines")
        added = _finite(positions.add(tokens, GRID), tuple(tokens.shape), "tokens")
        seen = torch.cat([context, added], dim=1)
        for block in range(4):
            seen = positions.add_before_block(block, seen, GRID)
            _finite(seen, (2, 5 + NUM_TOKENS, WIDTH), "tokens before a block")
        assert torch.equal(seen[:, :5], context), "context tokens stand nowhere: leave them alone"
        return [seen[:, 5:], *rotary]

    _check_module(lambda: made(make, width=WIDTH, num_heads=HEADS), run)
    placed = run(made(make, width=WIDTH, num_heads=HEADS))
    told = [not torch.equal(x[..., :1, :], x[..., 1:2, :]) for x in placed[1:]]
    told.append(not torch.equal(placed[0], tokens))
    assert any(told), "positions say nothing: tokens are as they were, and nothing is rotated"


def _check_attention(make: Callable[..., Attention]) -> None:
    angles = torch.randn(NUM_TOKENS, WIDTH // HEADS // 2)
    layouts = [Layout(GRID), Layout(GRID, (angles.cos(), angles.sin()))]
    context = 5
    tokens = torch.randn(2, context + NUM_TOKENS, WIDTH)
    mask = torch.ones(2, context + NUM_TOKENS, dtype=torch.bool)
    mask[:, 3:context] = False

    def run(attention: Attention) -> list[Tensor]:
        outputs = [attention(tokens[:, context:], layout) for layout in layouts]
        outputs += [attention(tokens, layout, mask) for layout in layouts]
        for output, given in zip(
            outputs, [NUM_TOKENS] * 2 + [NUM_TOKENS + context] * 2, strict=True
        ):
            _finite(output, (2, given, WIDTH), "tokens")
        return outputs

    for block in range(2):
        one = functools.partial(made, make, width=WIDTH, num_heads=HEADS, block=block, num_blocks=2)
        _check_module(one, run)
        attention = one().eval()
        masked, told, moved = tokens.clone(), tokens.clone(), tokens.clone()
        masked[:, 3:context] += 1  # what is masked must not be seen
        told[:, 0] += 1  # and what is not, must
        moved[:, -1] += 1
        with torch.no_grad():
            seen, same, after_told, after_moved = (
                attention(x, layouts[0], mask) for x in (tokens, masked, told, moved)
            )
        assert torch.allclose(seen[mask], same[mask], atol=1e-5), (
            "tokens attend to what the mask leaves out"
        )
        reached = (seen != after_told).any(-1)[:, context:].all()
        assert reached, "a context token must reach every token of the video"
        heard = (seen != after_moved).any(-1)[:, 1:3].all()
        assert heard, "every token of the video must reach the context"


def _check_conditioning(make: Callable[..., Conditioning]) -> None:
    tokens, layout = torch.randn(2, NUM_TOKENS, WIDTH), Layout(GRID)
    times = torch.randn(2, 1, WIDTH), torch.randn(2, GRID[0], WIDTH)
    text, signals = _text(), {"text": SignalDims(vector=TEXT_DIM, tokens=TEXT_DIM)}

    class Whole(nn.Module):
        """Two blocks and the last norm around a conditioning."""

        def __init__(self, signals: dict[str, SignalDims] = signals) -> None:
            super().__init__()
            self.conditioning = made(make, width=WIDTH, num_heads=HEADS, signals=signals)
            self.blocks = nn.ModuleList(
                self.conditioning.make_block(
                    Full(width=WIDTH, num_heads=HEADS, block=block, num_blocks=2),
                    nn.Linear(WIDTH, WIDTH),
                )
                for block in range(2)
            )
            self.norm = self.conditioning.make_last_norm()

    def ask(whole: Whole, time: Tensor, signals: Signals) -> Tensor:
        context = whole.conditioning.prepare(time, signals)
        mixed = whole.conditioning.enter(tokens, context)
        left = whole.conditioning.leave(mixed, context)
        assert torch.equal(left, tokens), "leave must undo enter"
        for block in whole.blocks:
            mixed = _finite(block(mixed, context, layout), tuple(mixed.shape), "a block's tokens")
        mixed = whole.conditioning.leave(mixed, context)
        return _finite(whole.norm(mixed, context), (2, NUM_TOKENS, WIDTH), "tokens")

    def run(whole: Whole, text: Signal | None = text) -> list[Tensor]:
        return [ask(whole, time, {} if text is None else {"text": text}) for time in times]

    _check_module(Whole, run)
    with torch.no_grad():
        whole = Whole()
        for parameter in whole.parameters():
            parameter.normal_(std=0.2)
        assert not torch.equal(run(whole)[0], run(whole, None)[0]), "text makes no difference"
        assert text.tokens is not None
        assert text.mask is not None
        padded = replace(text, tokens=text.tokens.clone())
        assert padded.tokens is not None
        padded.tokens[~text.mask] += 1
        assert torch.allclose(run(whole)[0], run(whole, padded)[0], atol=1e-5), "padding is seen"
        same = times[0].expand_as(times[1])
        one, each = ask(whole, times[0], {"text": text}), ask(whole, times[1], {"text": text})
        assert not torch.equal(one, each), "times of frames make no difference"
        turned = ask(whole, times[1].flip(1), {"text": text})
        assert not torch.allclose(each, turned, atol=1e-5), "frames do not have times of their own"
        if whole.conditioning.vector_maps:  # as tokens, the same times stand at several frames
            equal = ask(whole, same, {"text": text})
            assert torch.allclose(one, equal, atol=1e-4), "frames of one time are not as one time"
    wordless = Whole({})
    sum(x.sum() for x in run(wordless, None)).backward()  # type: ignore[union-attr]
    unused = [name for name, p in wordless.named_parameters() if p.grad is None]
    assert not unused, f"without conditions nothing uses {', '.join(unused)}"
    several = {
        "one": SignalDims(vector=5, tokens=7), "two": SignalDims(vector=3),
        "three": SignalDims(channels=2),
    }  # fmt: skip
    two = Signal(vector=torch.randn(2, GRID[0], 3))
    one = Signal(torch.randn(2, 5), torch.randn(2, 4, 7), torch.ones(2, 4, dtype=torch.bool))
    whole = Whole(several)
    ask(whole, times[0], {"one": one, "two": two, "three": Signal()})


def _check_denoiser(make: Callable[..., Denoiser]) -> None:
    latents, t = torch.randn(2, CHANNELS, 4, 8, 8), torch.tensor([10.0, 900.0])
    each = torch.tensor([[0.0, 10.0, 100.0, 900.0], [900.0, 0.0, 10.0, 5.0]])
    signals = {
        "text": SignalDims(vector=TEXT_DIM, tokens=TEXT_DIM), "frames": SignalDims(channels=3),
    }  # fmt: skip
    given = {"text": _text(), "frames": Signal(channels=torch.randn(2, 3, 4, 8, 8))}

    def run(denoiser: Denoiser) -> list[Tensor]:
        return [_finite(denoiser(latents, t, given), (2, 6, 4, 8, 8), "prediction")]

    one = functools.partial(made, make, in_channels=CHANNELS, out_channels=6, signals=signals)
    _check_module(one, run)
    denoiser = one()
    _finite(denoiser(latents, t), (2, 6, 4, 8, 8), "prediction without conditions")
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.normal_(std=0.2)
        shared = denoiser(latents, t, given)
        _finite(denoiser(latents, each, given), (2, 6, 4, 8, 8), "prediction by times of frames")
        assert not torch.equal(shared, denoiser(latents, each, given)), "times of frames are lost"
        other = {**given, "frames": Signal(channels=torch.zeros(2, 3, 4, 8, 8))}
        assert not torch.equal(shared, denoiser(latents, t, other)), "channels make no difference"


def _check_autoencoder(make: Callable[..., Autoencoder]) -> None:
    autoencoder = make().eval()
    ct, ch, cw = autoencoder.compression
    channels = autoencoder.latent_channels
    for frames in (1, 1 + 2 * ct):
        size = (frames, 2 * ch, 3 * cw)
        pixels = torch.rand(2, 3, *size) * 2 - 1
        latent_size = autoencoder.latent_size(*size)
        with torch.no_grad():
            latents = autoencoder.encode(pixels)
            _finite(latents, (2, channels, *latent_size), "latents")
            _finite(autoencoder.decode(latents), (2, 3, *size), "pixels")
    if any(p.requires_grad for p in autoencoder.parameters()):
        _check_module(make, lambda a: [a.eval()(pixels)[0]])
    for axis, factor in enumerate((ct, ch, cw)):
        if factor > 1:
            wrong = [1 + 2 * ct, 2 * ch, 2 * cw]
            wrong[axis] += 1
            pixels = torch.zeros(1, 3, *wrong)
            assert _refuses(functools.partial(autoencoder.encode, pixels)), (
                f"frames, height and width {wrong} do not fit, so encode must raise ValueError"
            )


def _content(sample: Sample) -> Tensor:
    return sample.pixels if isinstance(sample, VideoSample) else sample.latents


def _check_condition(make: Callable[..., Condition]) -> None:
    autoencoder = Identity(latent_channels=CHANNELS)
    inputs: dict[str, Any] = {
        "caption": PROMPTS,
        "id": ["one", "two"],
        "video": torch.rand(2, 3, 4, 8, 8) * 2 - 1,
        "latents": torch.randn(2, CHANNELS, 4, 8, 8),
        "latent_shape": (CHANNELS, 4, 8, 8),
    }
    build = functools.partial(made, make, autoencoder=autoencoder)
    assert not inspect.isabstract(type(build()))
    lacking = [k for k in build().reads if k not in inputs and k not in build().optional]
    assert not lacking, (
        f"reads {', '.join(lacking)}, which no check can make up: call check_component in a test "
        "of your own with a subclass that reads known inputs"
    )

    def forms(signal: Signal, dims: SignalDims, count: int = 2) -> list[Tensor]:
        found = []
        for form in ("vector", "tokens", "channels"):
            value, width = getattr(signal, form), getattr(dims, form)
            assert (value is not None) == bool(width), (
                f"dims has {form} {width}, and the signal has {'none' if value is None else 'some'}"
            )
            if value is None:
                continue
            axis = 1 if form == "channels" else -1
            assert value.shape[0] == count, f"{form} must be of {count} clips, got {value.shape[0]}"
            assert value.shape[axis] == width, (
                f"{form} must have width {width}, got {tuple(value.shape)}"
            )
            found.append(value[signal.mask] if form == "tokens" else value)
            assert found[-1].isfinite().all(), f"{form} must be finite"
        if signal.mask is not None:
            assert signal.mask.dtype == torch.bool
            assert signal.mask.any(1).all(), "each clip needs a token"
        assert found, "a condition must have a form"
        return found

    def run(condition: Condition) -> list[Tensor]:
        return forms(condition(inputs), condition.dims)

    condition = build().eval()
    if any(True for _ in condition.parameters()) and not condition.frozen:
        _check_module(build, run)
    with torch.no_grad():
        given, empty = condition(inputs), condition.empty(inputs)
        run(condition)
        forms(empty, condition.dims)
        drop = torch.tensor([True, False])
        mixed = forms(condition(inputs, drop), condition.dims)
        ours = forms(given.replaced(empty, drop), condition.dims)
        for one, two in zip(mixed, ours, strict=True):
            assert torch.allclose(one, two, atol=1e-4), "a dropped clip is not unconditional"
        if condition.reads == ("caption",):
            alone = condition({**inputs, "caption": PROMPTS[1:]}).vector
            assert alone is None or torch.allclose(alone[0], given.vector[1], atol=1e-4), (  # type: ignore[index]
                "a prompt's signal depends on its neighbours"
            )


def _check_schedule(make: Callable[..., Schedule]) -> None:
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
        _finite(derivative(torch.tensor([low, *t.tolist(), high])), (21,), "derivative")
        assert value(t.double()).dtype == torch.float64, "the answer must have the times' precision"
        error = (slope - derivative(t)).abs() / (1 + slope.abs())
        assert error.max() < 0.05, f"{derivative.__name__} is off by {error.max():.3f}"
    if schedule.variance_preserving:
        power = schedule.alpha(t).square() + schedule.sigma(t).square()
        assert torch.allclose(power, torch.ones(19), atol=1e-5), "it does not preserve variance"
    start = _finite(schedule.start_scale(torch.ones(1)), (1,), "start_scale")
    assert (start > 0).all(), "start_scale must be positive"
    times = _finite(schedule.network_time(t), (19,), "network_time").diff()
    assert (times > 0).all() or (times < 0).all(), "network_time must tell times apart"


def _check_prediction(make: Callable[..., Prediction]) -> None:
    prediction, schedule = make(), Rectified()
    sample, noise = torch.randn(2, 2, CHANNELS, 2, 4, 4).unbind(0)
    t = torch.tensor([0.3, 0.7])
    x_t = (1 - t).view(-1, 1, 1, 1, 1) * sample + t.view(-1, 1, 1, 1, 1) * noise
    target = _finite(prediction.target(sample, noise, schedule, t), tuple(sample.shape), "target")
    denoised = prediction.denoised(target, x_t, schedule, t)
    assert torch.allclose(denoised.x0, sample, atol=1e-4), "a right answer gives other latents"
    assert torch.allclose(denoised.noise, noise, atol=1e-4), "a right answer gives other noise"
    scale = prediction.input_scale(schedule, t)
    if scale is not None:
        assert (_finite(scale, (2,), "input_scale") > 0).all(), "input_scale must be positive"
    for end in (schedule.margins[0], 1.0):
        ends = prediction.denoised(torch.ones_like(x_t), x_t, schedule, torch.full((2,), end))
        _finite(ends.x0, tuple(sample.shape), f"sample at t = {end}")
        _finite(ends.noise, tuple(sample.shape), f"noise at t = {end}")


def _check_time_sampler(make: Callable[..., TimeSampler]) -> None:
    sampler, schedule = make(), Rectified()
    times = _finite(sampler(512, torch.device("cpu"), schedule), (512,), "times")
    assert times.dtype == torch.float32
    assert ((times >= 0) & (times <= 1)).all(), "times lie in [0, 1]"
    drawn = sampler.draw(torch.zeros(8, CHANNELS, 3, 4, 4), schedule)
    assert tuple(drawn.shape) in ((8,), (8, 3)), f"draw gives (b,) or (b, f), got {drawn.shape}"
    quantiles = sampler.quantile(torch.linspace(0.01, 0.99, 99), schedule)
    assert (quantiles.diff() >= 0).all(), "quantile must rise"


def _check_loss_weight(make: Callable[..., LossWeight]) -> None:
    for schedule in (Rectified(), LinearBeta()):
        weight = make()(schedule, Flow(), torch.linspace(*schedule.margins, 99))
        assert (_finite(weight, (99,), "weights") >= 0).all(), "weights must not be negative"
        each = make()(schedule, Flow(), torch.full((2, 3), 0.5))
        _finite(each, (2, 3), "weights of frames' times")


def _check_sampler(make: Callable[..., Sampler]) -> None:
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
            assert _refuses(walk), f"{name} does not fit, so it must raise ValueError"
            continue
        walked += 1
        found = _finite(walk(), tuple(sample.shape), "latents")
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


def _check_guidance(make: Callable[..., Guidance]) -> None:
    x_t, t = torch.randn(2, CHANNELS, 2, 4, 4), torch.full((2,), 0.25)
    variance = torch.randn_like(x_t)
    guidance, x0 = make(), torch.randn_like(x_t)
    guided = guidance(_Answers(x0, x0, variance), x_t, t)
    assert torch.allclose(guided.x0, x0, atol=1e-5), "conditions that make no difference guide"
    assert guided.variance is variance, "the variance must be that under all conditions"
    for scale in (1.0, 3.0):
        guidance.scale = scale
        guided = guidance(_Answers(x0, torch.randn_like(x_t)), x_t, t)
        _finite(guided.x0, tuple(x_t.shape), "clean latents")
        mixed = 0.75 * guided.x0 + 0.25 * guided.noise
        assert torch.allclose(mixed, x_t, atol=1e-4), "x0 and noise do not make up x_t"
    known = torch.tensor([[0.0, 0.25], [0.0, 0.25]])  # times, of clips whose first frame is known
    _finite(guidance(_Answers(x0, x0), x_t, known).x0, tuple(x_t.shape), "clean latents")


def _check_spacing(make: Callable[..., Spacing]) -> None:
    spacing = make()
    for schedule, start in itertools.product((Rectified(), LinearBeta()), (1.0, 0.9)):
        for num_steps in (1, 2, 7):
            times = _finite(spacing(num_steps, schedule, start), (num_steps + 1,), "times")
            assert times.dtype == torch.float64, "times must be float64"
            assert times[-1] == 0, "the last time must be 0"
            assert times[0] <= start, f"no time may be later than start, {start}"
            assert (times.diff() <= 0).all(), "times must fall"


def _check_regulariser(make: Callable[..., Regulariser]) -> None:
    regulariser = make()
    assert regulariser.blocks, "it must look at a block"
    assert min(regulariser.blocks) >= 1, "blocks are counted from 1 on"
    features = {
        n: torch.randn(4, NUM_TOKENS, WIDTH, requires_grad=True) for n in regulariser.blocks
    }
    term = _finite(regulariser(features), (), "the term")
    term.backward()
    for number, tokens in features.items():
        assert tokens.grad is not None, f"no gradient reaches block {number}"
        _finite(tokens.grad, tuple(tokens.shape), "the gradient")


def _check_dataset(make: Callable[..., VideoDataset]) -> None:
    dataset = make(split="train")
    assert len(dataset) > 0
    indices = [0, len(dataset) - 1]
    samples = dataset.__getitems__(indices)
    for sample in samples:
        content = _content(sample)
        assert content.dtype == torch.float32
        assert content.ndim == 4, f"a clip must be (c, f, h, w), got {tuple(content.shape)}"
        if isinstance(sample, VideoSample):
            assert content.shape[0] == 3
            assert content.abs().max() <= 1, "pixels lie in [-1, 1]"
        else:
            assert set(sample.signals) == set(sample.empty), "signals and empty go together"
        assert isinstance(sample.caption, str)
    again = pickle.loads(pickle.dumps(dataset))[0]  # as a worker process gets it
    assert torch.equal(_content(again), _content(samples[0])), (
        "the same index must give the same clip"
    )
    assert again.id == samples[0].id
    assert len(collate(samples)) == len(samples)
    assert isinstance(dataset.fingerprint(), str)
    assert isinstance(dataset.problems(), dict)
    make(split="val"), make(split="test")


class _Net(nn.Module):
    """A network with blocks in a list, as transformers have them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 1)
        self.blocks = nn.ModuleList([nn.Linear(8, 8)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x).tanh()
        return self.last(x)


def _check_optimizer(make: Callable[..., OptimizerRecipe]) -> None:
    model = _Net()
    optimizer = make().build([model])
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(map(id, model.parameters())), "each parameter once, none twice"
    x = torch.randn(64, 4)
    losses = []
    for _ in range(20):
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0], f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}"
    frozen = nn.Linear(2, 2).requires_grad_(False)
    assert _refuses(lambda: make().build([frozen])), "nothing to train must raise ValueError"


def _check_perceptual(make: Callable[..., Perceptual]) -> None:
    distance = make()
    assert not any(p.requires_grad for p in distance.parameters()), "its weights are never trained"
    reference = torch.rand(2, 3, 2, 64, 64) * 2 - 1
    pixels = (reference * torch.tensor([1.0, 0.5]).view(2, 1, 1, 1, 1)).requires_grad_()
    found = _finite(distance(pixels, reference), (2,), "distances")
    assert found[0].abs() < 1e-6, "a video is at no distance from itself"
    assert found[1] > 0, "other videos are at a distance"
    alone = distance(pixels[1:], reference[1:])
    assert torch.allclose(alone, found[1:], rtol=1e-3), "a distance depends on its neighbours"
    gradient = torch.autograd.grad(found[1], pixels)[0]
    assert gradient[1].any(), "gradients must reach the pixels"


def _check_discriminator(make: Callable[..., Discriminator]) -> None:
    for frames in (1, 5):
        pixels = torch.rand(2, 3, frames, 32, 32) * 2 - 1

        def run(discriminator: Discriminator, pixels: Tensor = pixels) -> list[Tensor]:
            logits = discriminator(pixels)
            return [_finite(logits, (2, 1, *logits.shape[2:]), "logits")]

        _check_module(make, run)


def _check_reconstruction_metric(make: Callable[..., ReconstructionMetric]) -> None:
    metric = make()
    # As many frames as I3D needs.
    reference = torch.rand(3, 3, 9, 32, 32) * 2 - 1
    noisy = (reference + 0.3 * torch.randn_like(reference)).clamp(-1, 1)
    latents = torch.randn(3, CHANNELS, 3, 8, 8)

    def sums(pixels: Tensor, clips: slice = slice(None)) -> Sums:
        posterior = Gaussian(latents[clips], torch.zeros_like(latents[clips]))
        videos = Reconstruction(pixels[clips], reference[clips], latents[clips], posterior)
        return metric.measure(videos)

    with torch.no_grad():
        whole, begin, end = (sums(noisy, slice(*s)) for s in ((0, 3), (0, 1), (1, 3)))
        assert whole.keys() == begin.keys() == end.keys(), "batches must give sums of one set"
        for name, total in whole.items():
            _finite(total, tuple(begin[name].shape), f"sum {name}")
            added = begin[name].double() + end[name].double()
            assert torch.allclose(total.double(), added, rtol=1e-4), f"{name} is no sum over videos"
        if not whole:
            return
        figures, perfect = metric.summarise(whole), metric.summarise(sums(reference))
    for name, value in (figures | perfect).items():
        _finite(value, (), name)
    if metric.higher_is_better is not None:
        first = next(iter(figures))
        better = perfect[first] > figures[first]
        assert better == metric.higher_is_better, (
            f"{first} must tell noisy videos from perfect ones"
        )


def _check_command(make: Callable[..., Command]) -> None:
    command = make()
    if isinstance(command, LightCommand):
        command.add_arguments(argparse.ArgumentParser())
    elif work := getattr(command, "work", None):
        options = inspect.signature(work).parameters.keys() - {"trainer", "model", "datamodule"}
        documented = {p.arg_name for p in docstring_parser.parse(work.__doc__ or "").params}
        assert options <= documented, f"no line under Args: of work for {options - documented}"


def _check_check(make: Callable[..., Check]) -> None:
    found = make().look()
    assert found, "a check prints at least one line"
    json.dumps([asdict(one) for one in found])


def _text() -> Signal:
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(2, TEXT_DIM, generator=generator)
    mask = torch.tensor([[True, False, False], [True, True, True]])
    return Signal(vector, torch.randn(2, 3, TEXT_DIM, generator=generator), mask)


def _refuses(call: Callable[[], object]) -> bool:
    try:
        call()
    except ValueError:
        return True
    return False


def _check_launcher(make: Callable[[], Launcher]) -> None:
    launcher = make()
    assert launcher.num_at_once >= 1, "a launcher must run one job at least"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()

        def start(name: str, code: str) -> Handle:
            words = (sys.executable, "-c", code)
            return launcher.start(
                Job(name, words, place / name, place, {"VIDIFF_TEST_WORD": "given"})
            )

        def wait(handle: Handle, *states: str) -> None:
            end = time.monotonic() + LAUNCH_SECONDS
            while (state := handle.state()) not in states:
                assert state in ("waiting", "running"), f"the job is {state}, not {states[0]}"
                assert time.monotonic() < end, f"the job is {state} after {LAUNCH_SECONDS} s"
                time.sleep(0.05)

        try:
            say = "import os; open('said', 'w').write(os.environ['VIDIFF_TEST_WORD'])"
            handle = start("well", say)
            wait(handle, "succeeded")
            assert (place / "said").read_text() == "given", "a job runs in its cwd, with its env"
            handle.stop()
            assert handle.state() == "succeeded", "stopping what has ended does nothing"
            wait(start("ill", "raise SystemExit(3)"), "failed")
            handle = start("endless", "import time; print('on', flush=True); time.sleep(600)")
            wait(handle, "running")
            handle.stop()
            wait(handle, "failed")
        finally:
            launcher.close()


LAUNCH_SECONDS = 300.0
"""That a launcher under test may take for a small job."""


_CHECKS: dict[str, Callable[..., None]] = {
    "attention": _check_attention,
    "autoencoder": _check_autoencoder,
    "check": _check_check,
    "command": _check_command,
    "condition": _check_condition,
    "conditioning": _check_conditioning,
    "dataset": _check_dataset,
    "denoiser": _check_denoiser,
    "discriminator": _check_discriminator,
    "guidance": _check_guidance,
    "launcher": _check_launcher,
    "loss_weight": _check_loss_weight,
    "optimizer": _check_optimizer,
    "patchifier": _check_patchifier,
    "perceptual": _check_perceptual,
    "positions": _check_positions,
    "prediction": _check_prediction,
    "reconstruction_metric": _check_reconstruction_metric,
    "regulariser": _check_regulariser,
    "sampler": _check_sampler,
    "spacing": _check_spacing,
    "schedule": _check_schedule,
    "time_sampler": _check_time_sampler,
}
