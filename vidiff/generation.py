"""Text to video, without a training framework: what ``DiffusionTask.sample`` calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vidiff.autoencoders import Autoencoder
from vidiff.denoisers import Denoiser
from vidiff.diffusion import Network, Objective
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

    Returns:
        Pixels (b, 3, f, h, w) within [-1, 1], float32.

    Raises:
        ValueError: if the numbers of prompts and seeds differ, or the size does not fit.
    """
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, got {len(seeds)}")
    weight = next(denoiser.parameters())
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    shape = (autoencoder.latent_channels, *autoencoder.latent_size(*size))

    def noise() -> Tensor:
        drawn = [torch.randn(shape, generator=g, dtype=torch.float32) for g in generators]
        return torch.stack(drawn).to(weight.device)

    def denoise(text: TextFeatures | None) -> Denoise:
        return lambda x_t, t: objective.denoise(conditioned(denoiser, text), x_t, t)

    prompted = denoise(text_encoder(prompts)) if text_encoder else denoise(None)
    unprompted = denoise(text_encoder([""] * len(prompts))) if text_encoder else prompted
    latents = sampler(
        lambda x_t, t: guidance(prompted, unprompted, x_t, t), noise(), objective.schedule, noise
    )
    return autoencoder.decode(latents.to(weight.dtype)).float().clamp(-1, 1)


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
