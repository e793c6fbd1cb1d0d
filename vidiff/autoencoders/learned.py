"""What autoencoders that are trained share: latents of unit variance, and a Gaussian posterior."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vidiff.autoencoders.base import Autoencoder, Gaussian, Past, Posterior
from vidiff.checks import at_least


class Learned(Autoencoder):
    """An autoencoder that is trained, and takes videos whole or chunk by chunk.

    Training keeps the mean and standard deviation of each latent channel, by which ``encode``
    normalises latents for diffusion. They stay in float32 whatever the weights are in: a moving
    average in bfloat16 would stand still.

    Args:
        latent_channels: channels of the latents.
    """

    latent_mean: Tensor
    latent_square: Tensor
    num_updates: Tensor

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        at_least(1, latent_channels=latent_channels)
        self.latent_channels = latent_channels
        self.register_buffer("latent_mean", torch.zeros(latent_channels, dtype=torch.float32))
        self.register_buffer("latent_square", torch.ones(latent_channels, dtype=torch.float32))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    @abstractmethod
    def read(self, pixels: Tensor, past: Past | None = None) -> Posterior:
        """The posterior of pixels (b, 3, f, h, w) that fit; a chunk's with its ``past``."""

    @abstractmethod
    def reconstruct(self, latents: Tensor, past: Past | None = None) -> Tensor:
        """Unscaled latents (b, c, f, h, w) to pixels; ``past`` as in ``read``."""

    def posterior(self, pixels: Tensor) -> Posterior:
        self.check(pixels)
        posterior = self.read(pixels)
        if self.training:
            self._update_statistics(*self.spread(posterior))
        return posterior

    def spread(self, posterior: Posterior) -> tuple[Tensor, Tensor]:
        """Mean and mean square of each latent channel in a batch: (c,) twice."""
        axes = (0, 2, 3, 4)
        return posterior.mode.mean(axes), posterior.mode.square().mean(axes)

    def encode(self, pixels: Tensor) -> Tensor:
        return self.normalise(self.posterior(pixels).mode)

    def decode(self, latents: Tensor) -> Tensor:
        return self.reconstruct(self.denormalise(latents))

    def encode_chunk(self, pixels: Tensor, past: Past) -> Tensor:
        self.check(pixels, past)
        return self.normalise(self.read(pixels, past).mode)

    def decode_chunk(self, latents: Tensor, past: Past) -> Tensor:
        return self.reconstruct(self.denormalise(latents), past)

    def normalise(self, latents: Tensor) -> Tensor:
        """Unscaled latents to those for diffusion, each channel of zero mean and unit variance."""
        mean, std = self._statistics()
        return (latents - mean) / std

    def denormalise(self, latents: Tensor) -> Tensor:
        """Latents for diffusion to unscaled ones; raises as ``check_latents`` does."""
        self.check_latents(latents)
        mean, std = self._statistics()
        return latents * std + mean

    @torch.no_grad()
    def _update_statistics(self, mean: Tensor, square: Tensor, momentum: float = 0.98) -> None:
        """Moving averages over all processes; of the first updates a plain average, without lag."""
        mean, square = mean_of_processes(torch.stack([mean.float(), square.float()]))
        keep = (self.num_updates / (self.num_updates + 1)).clamp(max=momentum)
        for average, value in ((self.latent_mean, mean), (self.latent_square, square)):
            average.lerp_(value, 1 - keep)
        self.num_updates += 1

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Called by ``to``, ``bfloat16`` and the like: statistics change device, but not type."""
        kept = {name: getattr(self, name) for name in ("latent_mean", "latent_square")}
        super()._apply(fn, recurse)
        for name, value in kept.items():
            moved = getattr(self, name)
            if moved.dtype != torch.float32:
                setattr(self, name, value.to(moved.device))
        return self

    def _statistics(self) -> tuple[Tensor, Tensor]:
        variance = (self.latent_square - self.latent_mean.square()).clamp(min=1e-8)
        shape = (1, -1, 1, 1, 1)
        return self.latent_mean.view(shape), variance.sqrt().view(shape)


def mean_of_processes(values: Tensor) -> Tensor:
    """The mean over all processes, all of which must call this."""
    if not dist.is_available() or not dist.is_initialized():
        return values
    dist.all_reduce(values)
    return values / dist.get_world_size()


class Variational(Learned):
    """An autoencoder whose encoder gives the mean and log-variance of a Gaussian over latents."""

    @abstractmethod
    def moments(self, pixels: Tensor, past: Past | None = None) -> Tensor:
        """Means and log-variances of latents, (b, 2 c, f, h, w); arguments as in ``read``."""

    def read(self, pixels: Tensor, past: Past | None = None) -> Gaussian:
        return Gaussian.of(self.moments(pixels, past))

    def spread(self, posterior: Posterior) -> tuple[Tensor, Tensor]:
        assert isinstance(posterior, Gaussian)
        mean, square = super().spread(posterior)
        return mean, square + posterior.log_variance.exp().mean((0, 2, 3, 4))


def in_type_of(layers: nn.Module, x: Tensor) -> Tensor:
    """``x`` in the type of the layers' weights, so that half-precision weights take any latents."""
    return x.to(next(layers.parameters()).dtype)
