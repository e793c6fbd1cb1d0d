"""Text to video, without a training framework: what ``DiffusionTask.sample`` calls."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vidiff.autoencoders import Autoencoder, decode_in_parts
from vidiff.denoisers import Denoiser
from vidiff.diffusion import Network, Objective
from vidiff.finite import FiniteNotes, bad_weight
from vidiff.samplers import Denoise, Guidance, Sampler
from vidiff.text import TextEncoder
from vidiff.types import Grid, TextFeatures


@torch.no_grad()
def generate(
    *,
    denoiser: Denoiser,
    text_encoder: TextEncoder | None,
    autoencoder: Autoencoder,
    objective: Objective,
    sampler: Sampler,
    guidance: Guidance,
    prompts: Sequence[str],
    size: Grid,
    seeds: Sequence[int],
    decode: bool = True,
    decode_tile: int | None = None,
    decode_frames: int | None = None,
) -> Tensor:
    """Make one video per prompt.

    A clip's noise comes from a generator of its own, on the CPU, so that it depends neither on the
    clips beside it nor on the device.

    Args:
        denoiser: the network, in evaluation mode.
        text_encoder: reads the prompts; None for a model without text.
        autoencoder: gives the latents' size, and decodes them.
        objective: the one that the network was trained with.
        sampler: walks from noise to latents.
        guidance: how strongly prompts are followed.
        prompts: b prompts; an empty one leaves the video to the model.
        size: frames, height and width of the video, in pixels.
        seeds: b numbers that decide each clip's noise, see ``clip_seed``.
        decode: False gives latents, as the denoiser made them.
        decode_tile: height and width, in latents, of tiles that are decoded one after the other and
            blended, so that memory does not grow with the frame; None decodes whole frames.
        decode_frames: frames of latents that are decoded at a time, so that memory does not grow
            with the length; None decodes all at once.

    Returns:
        Pixels (b, 3, f, h, w) within [-1, 1], or latents (b, c, f, h, w); float32.

    Raises:
        ValueError: if the numbers of prompts and seeds differ, the size does not fit, the
            autoencoder gives no pixels, or it cannot decode in such parts.
        FloatingPointError: if latents or pixels turn NaN or infinite; names the step, the tensor,
            and a weight that is not finite.
    """
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, got {len(seeds)}")
    if decode and autoencoder.pixel_channels != 3:
        raise ValueError(
            f"this model makes latents of {autoencoder.latent_channels} channels and has no "
            "autoencoder to decode them: call task.sample(..., decode=False) and decode them with "
            "their own"
        )
    weight = next(denoiser.parameters())
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    shape = (autoencoder.latent_channels, *autoencoder.latent_size(*size))

    def noise() -> Tensor:
        drawn = [torch.randn(shape, generator=g, dtype=torch.float32) for g in generators]
        return torch.stack(drawn).to(weight.device)

    def denoise(text: TextFeatures | None) -> Denoise:
        return lambda x_t, t: objective.denoise(conditioned(denoiser, text), x_t, t)

    prompted = denoise(text_encoder(prompts)) if text_encoder else denoise(None)

    @functools.cache  # read once, and only if guidance asks
    def unprompted() -> Denoise:
        return denoise(text_encoder([""] * len(prompts))) if text_encoder else prompted

    start = noise()
    contrast = guidance.contrast(prompts, start, objective.schedule)
    contrast = contrast or (lambda x_t, t: unprompted()(x_t, t))
    parts = {"denoiser": denoiser, "text_encoder": text_encoder, "autoencoder": autoencoder}
    try:
        latents = sampler(
            lambda x_t, t: guidance(prompted, contrast, x_t, t), start, objective.schedule, noise
        )
        if not decode:
            return latents.float()
        pixels = decode_in_parts(
            autoencoder, latents.to(weight.dtype), tile=decode_tile, frames=decode_frames
        )
        notes = FiniteNotes()
        notes.note("pixels that the autoencoder decoded, after the last step", pixels)
        notes.check()
    except FloatingPointError as error:
        raise FloatingPointError(f"sampling stops: {error}; {_advice(parts, weight)}") from None
    return pixels.float().clamp(-1, 1)


def _advice(parts: Mapping[str, nn.Module | None], weight: Tensor) -> str:
    """Why sampling may have failed, and what to do."""
    if name := bad_weight(parts.items()):
        return (
            f"the weight {name} is not finite itself: take a checkpoint from before training went "
            "wrong"
        )
    if weight.dtype == torch.float16:
        return "float16 ends at 65504: sample with --trainer.precision 32-true"
    return "all weights are finite: try a smaller guidance_scale, more steps or 32-true"


def conditioned(denoiser: nn.Module, text: TextFeatures | None) -> Network:
    """The denoiser under one text, taking latents of any precision."""
    dtype = next(denoiser.parameters()).dtype
    return lambda x, t: denoiser(x.to(dtype), t, text)


def clip_seed(seed: int, index: int) -> int:
    """The seed of clip ``index`` of a set: unrelated to that of any other seed or index."""
    return mix(seed, index)


def mix(*numbers: int) -> int:
    """Non-negative numbers to one seed of 63 bits, each well spread (NumPy's ``SeedSequence``)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
