"""Held-out loss: the same times and noise for a clip whenever it is met."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

from vidiff.diffusion import Network, Objective
from vidiff.types import Known

NUM_BINS = 4
"""The loss is logged for this many equal ranges of diffusion time."""


def held_out_draws(ids: Sequence[str], latents: Tensor) -> tuple[Tensor, Tensor]:
    """Noise like ``latents`` and u (b,) in [0, 1), from each clip's id."""
    generators = [torch.Generator().manual_seed(zlib.crc32(clip.encode())) for clip in ids]
    u = torch.cat([torch.rand(1, generator=g) for g in generators])
    noise = torch.stack([torch.randn(latents.shape[1:], generator=g) for g in generators])
    return noise.to(latents), u.to(latents.device)


def held_out_losses(
    objective: Objective,
    network: Network,
    latents: Tensor,
    ids: Sequence[str],
    known: Known | None,
) -> list[Tensor]:
    """The squared error in each range of times: scalars."""
    noise, u = held_out_draws(ids, latents)
    return [
        objective.loss(network, latents, (k + u) / NUM_BINS, noise, known).unweighted.mean()
        for k in range(NUM_BINS)
    ]


def bin_name(split: str, number: int) -> str:
    """The name of the loss over a range of times, in percent."""
    percent = 100 // NUM_BINS
    return f"{split}/loss_t{number * percent}-{(number + 1) * percent}"
