"""Conformance of denoisers, conditions, autoencoders, and what trains with them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vidiff.autoencoders import Autoencoder, Gaussian, Identity
from vidiff.conditions import Condition
from vidiff.config_nodes import made
from vidiff.denoisers import Denoiser
from vidiff.discriminators import Discriminator
from vidiff.perceptual import Perceptual
from vidiff.reconstruction import Reconstruction, ReconstructionMetric, Sums
from vidiff.regularisers import Regulariser
from vidiff.testing.common import check_module, checks, finite, randomised, refuses, text_signal
from vidiff.testing.sizes import CHANNELS, NUM_TOKENS, PROMPTS, TEXT_DIM, WIDTH
from vidiff.types import Signal, SignalDims


@checks("denoiser")
def _denoiser(make: Callable[..., Denoiser]) -> None:
    latents, t = torch.randn(2, CHANNELS, 4, 8, 8), torch.tensor([10.0, 900.0])
    each = torch.tensor([[0.0, 10.0, 100.0, 900.0], [900.0, 0.0, 10.0, 5.0]])
    signals = {
        "text": SignalDims(vector=TEXT_DIM, tokens=TEXT_DIM), "frames": SignalDims(channels=3),
    }  # fmt: skip
    given = {"text": text_signal(), "frames": Signal(channels=torch.randn(2, 3, 4, 8, 8))}

    def run(denoiser: Denoiser) -> list[Tensor]:
        return [finite(denoiser(latents, t, given), (2, 6, 4, 8, 8), "prediction")]

    one = functools.partial(made, make, in_channels=CHANNELS, out_channels=6, signals=signals)
    check_module(one, run)
    denoiser = randomised(one())
    with torch.no_grad():
        finite(denoiser(latents, t), (2, 6, 4, 8, 8), "prediction without conditions")
        shared, by_frame = denoiser(latents, t, given), denoiser(latents, each, given)
        finite(by_frame, (2, 6, 4, 8, 8), "prediction by times of frames")
        assert not torch.equal(shared, by_frame), "times of frames are lost"
        other = {**given, "frames": Signal(channels=torch.zeros(2, 3, 4, 8, 8))}
        assert not torch.equal(shared, denoiser(latents, t, other)), "channels make no difference"


def _forms(signal: Signal, dims: SignalDims) -> list[Tensor]:
    """The forms of a signal of two clips, which must be as ``dims`` says; tokens unpadded."""
    found = []
    for form in ("vector", "tokens", "channels"):
        value, width = getattr(signal, form), getattr(dims, form)
        assert (value is not None) == bool(width), (
            f"dims has {form} {width}, and the signal has {'none' if value is None else 'some'}"
        )
        if value is not None:
            size = len(value), value.shape[1 if form == "channels" else -1]
            assert size == (2, width), f"{form} must be of 2 clips and {width} wide, got {size}"
            found.append(value[signal.mask] if form == "tokens" else value)
            assert found[-1].isfinite().all(), f"{form} must be finite"
    if signal.mask is not None:
        assert signal.mask.dtype == torch.bool
        assert signal.mask.any(1).all(), "each clip needs a token"
    assert found, "a condition must have a form"
    return found


@checks("condition")
def _condition(make: Callable[..., Condition]) -> None:
    autoencoder = Identity(latent_channels=CHANNELS)
    inputs: dict[str, Any] = {
        "caption": PROMPTS,
        "id": ["one", "two"],
        "video": torch.rand(2, 3, 4, 8, 8) * 2 - 1,
        "latents": torch.randn(2, CHANNELS, 4, 8, 8),
        "latent_shape": (CHANNELS, 4, 8, 8),
    }
    build = functools.partial(made, make, autoencoder=autoencoder)
    condition = build().eval()
    lacking = [k for k in condition.reads if k not in inputs and k not in condition.optional]
    assert not lacking, (
        f"reads {', '.join(lacking)}, which no check can make up: call check_component in a test "
        "of your own with a subclass that reads known inputs"
    )
    if any(True for _ in condition.parameters()) and not condition.frozen:
        check_module(build, lambda one: _forms(one(inputs), one.dims))
    drop = torch.tensor([True, False])
    with torch.no_grad():
        given, empty, mixed = condition(inputs), condition.empty(inputs), condition(inputs, drop)
        signals = (given, empty, mixed, given.replaced(empty, drop))
        _, _, ours, mixture = (_forms(signal, condition.dims) for signal in signals)
        for one, two in zip(ours, mixture, strict=True):
            assert torch.allclose(one, two, atol=1e-4), "a dropped clip is not unconditional"
        if condition.reads == ("caption",):
            alone = condition({**inputs, "caption": PROMPTS[1:]}).vector
            same = alone is None or torch.allclose(alone[0], given.vector[1], atol=1e-4)
            assert same, "a prompt's signal depends on its neighbours"


@checks("autoencoder")
def _autoencoder(make: Callable[..., Autoencoder]) -> None:
    autoencoder = make().eval()
    ct, ch, cw = autoencoder.compression
    for frames in (1, 1 + 2 * ct):
        size = (frames, 2 * ch, 3 * cw)
        pixels = torch.rand(2, 3, *size) * 2 - 1
        latent_size = (autoencoder.latent_channels, *autoencoder.latent_size(*size))
        with torch.no_grad():
            latents = finite(autoencoder.encode(pixels), (2, *latent_size), "latents")
            finite(autoencoder.decode(latents), (2, 3, *size), "pixels")
    if any(p.requires_grad for p in autoencoder.parameters()):
        check_module(make, lambda a: [a.eval()(pixels)[0]])
    for axis, factor in enumerate((ct, ch, cw)):
        if factor > 1:
            wrong = [1 + 2 * ct, 2 * ch, 2 * cw]
            wrong[axis] += 1
            refused = refuses(functools.partial(autoencoder.encode, torch.zeros(1, 3, *wrong)))
            assert refused, f"encode must raise ValueError for {wrong} frames, height and width"


@checks("discriminator")
def _discriminator(make: Callable[..., Discriminator]) -> None:
    for frames in (1, 5):
        pixels = torch.rand(2, 3, frames, 32, 32) * 2 - 1

        def run(discriminator: Discriminator, pixels: Tensor = pixels) -> list[Tensor]:
            logits = discriminator(pixels)
            return [finite(logits, (2, 1, *logits.shape[2:]), "logits")]

        check_module(make, run)


@checks("perceptual")
def _perceptual(make: Callable[..., Perceptual]) -> None:
    distance = make()
    assert not any(p.requires_grad for p in distance.parameters()), "its weights are never trained"
    reference = torch.rand(2, 3, 2, 64, 64) * 2 - 1
    pixels = (reference * torch.tensor([1.0, 0.5]).view(2, 1, 1, 1, 1)).requires_grad_()
    found = finite(distance(pixels, reference), (2,), "distances")
    assert found[0].abs() < 1e-6, "a video is at no distance from itself"
    assert found[1] > 0, "other videos are at a distance"
    alone = distance(pixels[1:], reference[1:])
    assert torch.allclose(alone, found[1:], rtol=1e-3), "a distance depends on its neighbours"
    gradient = torch.autograd.grad(found[1], pixels)[0]
    assert gradient[1].any(), "gradients must reach the pixels"


@checks("regulariser")
def _regulariser(make: Callable[..., Regulariser]) -> None:
    regulariser = make()
    assert regulariser.blocks, "it must look at a block"
    assert min(regulariser.blocks) >= 1, "blocks are counted from 1 on"
    shape = (4, NUM_TOKENS, WIDTH)
    features = {number: torch.randn(shape, requires_grad=True) for number in regulariser.blocks}
    finite(regulariser(features), (), "the term").backward()
    for number, tokens in features.items():
        assert tokens.grad is not None, f"no gradient reaches block {number}"
        finite(tokens.grad, shape, "the gradient")


@checks("reconstruction_metric")
def _reconstruction_metric(make: Callable[..., ReconstructionMetric]) -> None:
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
            finite(total, tuple(begin[name].shape), f"sum {name}")
            added = begin[name].double() + end[name].double()
            assert torch.allclose(total.double(), added, rtol=1e-4), f"{name} is no sum over videos"
        if not whole:
            return
        scores, perfect = metric.summarise(whole), metric.summarise(sums(reference))
    for name, value in (scores | perfect).items():
        finite(value, (), name)
    if metric.higher_is_better is not None:
        first = next(iter(scores))
        is_right = (perfect[first] > scores[first]) == metric.higher_is_better
        assert is_right, f"{first} must tell noisy videos from perfect ones"
