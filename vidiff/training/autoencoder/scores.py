"""Scores of reconstructions, summed over batches and processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vidiff.autoencoders import Autoencoder
from vidiff.precision import full_precision
from vidiff.reconstruction import (
    PSNR,
    SSIM,
    Codebook,
    Flicker,
    Latents,
    MakeReconstructionMetric,
    Reconstruction,
    Sums,
    widest,
)
from vidiff.training.autoencoder.detached import Detached
from vidiff.training.processes import Reduce

DEFAULTS: tuple[MakeReconstructionMetric, ...] = (PSNR, SSIM, Flicker, Latents, Codebook)


class Scores:
    """Several metrics of one validation, whose processes must take in equally many batches."""

    def __init__(self, factories: Sequence[MakeReconstructionMetric] | None) -> None:
        makers = DEFAULTS if factories is None else factories
        self.metrics = [Detached(make()) for make in makers]
        self.reset()

    def reset(self) -> None:
        """Forget every batch."""
        self.sums: list[Sums] = [{} for _ in self.metrics]

    @torch.no_grad()
    def update(self, videos: Reconstruction) -> None:
        """Take in a batch, in full precision whatever the model runs in."""
        device = videos.pixels.device
        with full_precision(device):
            for metric, totals in zip(self.metrics, self.sums, strict=True):
                for name, value in metric.on(device).measure(videos).items():
                    value = value.to(widest(device))
                    totals[name] = totals[name] + value if name in totals else value

    def compute(self, reduce: Reduce) -> dict[str, Tensor]:
        """The scores so far, over all processes; ``ValueError`` if two have the same name."""
        flat = [value.flatten() for sums in self.sums for value in sums.values()]
        if not flat:
            return {}
        parts = iter(reduce(torch.cat(flat), reduce_op="sum").split([len(value) for value in flat]))
        scores: dict[str, Tensor] = {}
        for metric, sums in zip(self.metrics, self.sums, strict=True):
            together = {name: next(parts).view(value.shape) for name, value in sums.items()}
            found = metric.module.summarise(together) if together else {}
            if twice := sorted(scores.keys() & found):
                raise ValueError(
                    f"two of model.metrics give {', '.join(twice)}: leave one of them out"
                )
            scores |= found
        return scores


def reconstruct(autoencoder: Autoencoder, reference: Tensor) -> Reconstruction:
    """Rebuild clips (b, 3, f, h, w) from their likeliest latents."""
    if autoencoder.frozen:
        posterior, latents = None, autoencoder.encode(reference)
        pixels = autoencoder.decode(latents)
    else:
        pixels, posterior = autoencoder(reference)
        latents = autoencoder.normalise(posterior.mode)
    pixels = pixels.float().clamp(-1, 1)
    return Reconstruction(pixels, reference.float(), latents, posterior)


def score_names(factories: Sequence[MakeReconstructionMetric] | None) -> list[str] | None:
    """Names of the scores that metrics may give; None where one does not know its own."""
    names: list[str] = []
    for make in DEFAULTS if factories is None else factories:
        try:
            metric = make()
        except (ValueError, OSError):  # weights that are missing, which training will say
            return None
        if not metric.score_names:
            return None
        names += metric.score_names
    return names


@torch.no_grad()
def frames_per_second(autoencoder: Autoencoder, pixels: Tensor) -> dict[str, Tensor]:
    """Frames (of pixels (b, 3, f, h, w)) that this device encodes and decodes in a second.

    The autoencoder must have run on such pixels before, or what starts it up counts too.
    """
    num_frames = pixels.shape[0] * pixels.shape[2]
    latents, encoding = _timed(autoencoder.encode, pixels)
    _, decoding = _timed(autoencoder.decode, latents)
    rates = {"encode": num_frames / encoding, "decode": num_frames / decoding}
    return {f"{name}_frames_per_second": torch.tensor(rate) for name, rate in rates.items()}


def _timed(call: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, float]:
    _wait(x.device)
    since = time.perf_counter()
    result = call(x)
    _wait(x.device)
    return result, max(time.perf_counter() - since, 1e-9)


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
