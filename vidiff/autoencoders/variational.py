"""What variational autoencoders share: their posterior, and latents of unit variance."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from vidiff.autoencoders.base import Autoencoder, Posterior


class Variational(Autoencoder):
    """An autoencoder whose encoder gives the mean and log-variance of a Gaussian over latents.

    While it is trained it keeps the mean and standard deviation of each latent channel, by which
    ``encode`` normalises latents for diffusion.

    Args:
        latent_channels: channels of the latents.
    """

    latent_mean: Tensor
    latent_square: Tensor
    num_updates: Tensor

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_square", torch.ones(latent_channels))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    @abstractmethod
    def moments(self, pixels: Tensor) -> Tensor:
        """Pixels (b, 3, f, h, w) to means and log-variances of latents: (b, 2 c, f, h, w)."""

    def posterior(self, pixels: Tensor) -> Posterior:
        self.latent_size(*pixels.shape[2:])
        mean, log_variance = self.moments(pixels).chunk(2, dim=1)
        posterior = Posterior(mean.float(), log_variance.float().clamp(-30, 20))
        if self.training:
            self._update_statistics(posterior)
        return posterior

    def encode(self, pixels: Tensor) -> Tensor:
        mean, std = self._statistics()
        return (self.posterior(pixels).mean - mean) / std

    def decode(self, latents: Tensor) -> Tensor:
        mean, std = self._statistics()
        return self.reconstruct(latents * std + mean)

    @torch.no_grad()
    def _update_statistics(self, posterior: Posterior, momentum: float = 0.98) -> None:
        """Moving averages; the first updates are a plain average, so that nothing lags."""
        keep = (self.num_updates / (self.num_updates + 1)).clamp(max=momentum)
        axes = (0, 2, 3, 4)
        square = posterior.mean.square() + posterior.log_variance.exp()
        self.latent_mean.lerp_(posterior.mean.mean(axes), 1 - keep)
        self.latent_square.lerp_(square.mean(axes), 1 - keep)
        self.num_updates += 1

    def _statistics(self) -> tuple[Tensor, Tensor]:
        variance = (self.latent_square - self.latent_mean.square()).clamp(min=1e-8)
        shape = (1, -1, 1, 1, 1)
        return self.latent_mean.view(shape), variance.sqrt().view(shape)
