"""What an autoencoder promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from vidiff.registry import kind
from vidiff.types import Grid


@dataclass
class Posterior:
    """A diagonal Gaussian over latents (Kingma & Welling 2014).

    Attributes:
        mean: (b, c, f, h, w).
        log_variance: the same shape.
    """

    mean: Tensor
    log_variance: Tensor

    def draw(self) -> Tensor:
        """A sample that gradients pass through."""
        return self.mean + (0.5 * self.log_variance).exp() * torch.randn_like(self.mean)

    def kl(self) -> Tensor:
        """Divergence from the standard normal, in nats per latent value: (b,)."""
        kl = 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)
        return kl.flatten(1).mean(1)


@kind("autoencoder")
class Autoencoder(nn.Module, ABC):
    """Pixels to latents and back.

    Videos have 1 + k x ``compression[0]`` frames where time is compressed: the first frame is
    encoded alone, so that one image is a video of one frame.

    Attributes:
        latent_channels: channels of the latents.
        compression: pixels per latent along frames, height and width.
        pixel_channels: channels of what it decodes; other than 3 only where there are no pixels.
    """

    latent_channels: int
    pixel_channels: int = 3
    compression: Grid = (1, 1, 1)

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (b, 3, f, h, w) in [-1, 1] to latents (b, c, f, h, w) of about unit variance.

        Raises:
            ValueError: if the size does not fit the compression, with the nearest that does.
        """

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (b, c, f, h, w) to pixels (b, 3, f, h, w), about in [-1, 1]."""

    def posterior(self, pixels: Tensor) -> Posterior:
        """What is trained: a distribution over unscaled latents.

        Raises:
            TypeError: if there is nothing to train.
        """
        raise TypeError(f"{type(self).__name__} has nothing to train")

    def reconstruct(self, latents: Tensor) -> Tensor:
        """What is trained: unscaled latents to pixels.

        Raises:
            TypeError: if there is nothing to train.
        """
        raise TypeError(f"{type(self).__name__} has nothing to train")

    def latent_size(self, frames: int, height: int, width: int) -> Grid:
        """The latents' frames, height and width for a video's.

        Raises:
            ValueError: if the size does not fit the compression, with the nearest that does.
        """
        ct, ch, cw = self.compression
        if (frames - 1) % ct:
            raise ValueError(
                f"{frames} frames do not fit a compression in time of {ct}, which needs "
                f"1 + k x {ct}; the nearest is {1 + round((frames - 1) / ct) * ct}"
            )
        for axis, size, factor in (("height", height, ch), ("width", width, cw)):
            if size % factor:
                nearest = max(factor, round(size / factor) * factor)
                raise ValueError(
                    f"{axis} {size} does not divide by the compression {factor}; "
                    f"the nearest that does is {nearest}"
                )
        return 1 + (frames - 1) // ct, height // ch, width // cw


class MakeAutoencoder(Protocol):
    """An autoencoder with everything set."""

    def __call__(self) -> Autoencoder: ...
