"""Autoencoder interface."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from vidiff.config_nodes import Node
from vidiff.registry import kind
from vidiff.types import Size


class Posterior(ABC):
    """The encoder's distribution over unscaled latents, and its KL to the prior."""

    @property
    @abstractmethod
    def mode(self) -> Tensor:
        """The likeliest latents: (b, c, f, h, w)."""

    @abstractmethod
    def draw(self) -> Tensor:
        """Latents to train on, which gradients pass through: (b, c, f, h, w)."""

    @abstractmethod
    def kl(self, free_bits: float = 0.0) -> Tensor:
        """KL to the prior in nats per latent value, beyond ``free_bits`` (in bits) per channel."""


@dataclass
class Gaussian(Posterior):
    """A diagonal Gaussian over latents (b, c, f, h, w) (Kingma & Welling 2014)."""

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def of(cls, moments: Tensor) -> Gaussian:
        """From means and log-variances (b, 2 c, f, h, w), clamped as diffusers does it."""
        mean, log_variance = moments.chunk(2, dim=1)
        return cls(mean.float(), log_variance.float().clamp(-30, 20))

    @property
    def mode(self) -> Tensor:
        return self.mean

    def draw(self) -> Tensor:
        return self.mean + (0.5 * self.log_variance).exp() * torch.randn_like(self.mean)

    def kl(self, free_bits: float = 0.0) -> Tensor:
        kl = 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)
        # Free bits, appendix C.8 of Kingma et al. 2016, with channels for groups.
        return kl.mean((0, 2, 3, 4)).clamp(min=free_bits * math.log(2)).mean()


Past = dict[Any, Tensor]  # what layers keep of earlier chunks of a video, by layer


@kind("autoencoder")
class Autoencoder(nn.Module, ABC):
    """Pixels to latents and back.

    Videos have 1 + k x ``compression[0]`` frames: the first is encoded by itself, so that an image
    is a video of one frame.

    Attributes:
        latent_channels: channels of the latents.
        compression: pixels per latent along frames, height and width.
        pixel_channels: channels of what it decodes; other than 3 only where there are no pixels.
        frozen: never trained, so that it can be measured without a checkpoint.
        node: how to build one that was read from a file, without that file.
    """

    frozen: ClassVar[bool] = False
    node: Node | None = None
    latent_channels: int
    pixel_channels: int = 3
    compression: Size = (1, 1, 1)

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (b, 3, f, h, w) in [-1, 1] to latents (b, c, f, h, w) of about unit variance.

        If the size does not fit the compression, a ``ValueError`` names the nearest that does.
        """

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (b, c, f, h, w) to pixels (b, 3, f, h, w), about in [-1, 1]."""

    # -- Long videos, piece by piece --------------------------------------------------------------

    def encode_chunk(self, pixels: Tensor, past: Past) -> Tensor:
        """Encode the next frames of a video.

        Pixels are (b, 3, f, h, w) of 1 + k x ``compression[0]`` frames at first, then k x
        ``compression[0]``. The past, empty at first, holds what the next call needs of this one. A
        ``ValueError`` if the frames do not fit, or this autoencoder needs the whole video.
        """
        raise ValueError(f"{type(self).__name__} needs the whole video at once: call encode")

    def decode_chunk(self, latents: Tensor, past: Past) -> Tensor:
        """The next frames of latents (b, c, f, h, w) to pixels, see ``encode_chunk``."""
        raise ValueError(f"{type(self).__name__} needs the whole video at once: call decode")

    def encode_chunks(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """``encode`` of a whole video, chunk by chunk: without gradients in the memory of one."""
        past: Past = {}
        return (self.encode_chunk(chunk, past) for chunk in chunks)

    def decode_chunks(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """``decode`` of a whole video, chunk by chunk; see ``encode_chunks``."""
        past: Past = {}
        return (self.decode_chunk(chunk, past) for chunk in chunks)

    # -- Training -------------------------------------------------------------------------------

    def forward(self, pixels: Tensor) -> tuple[Tensor, Posterior]:
        """Reconstruct: from a draw in training, from the likeliest latents otherwise.

        One call for both halves, because this is where sharded weights are gathered.
        """
        posterior = self.posterior(pixels)
        latents = posterior.draw() if self.training else posterior.mode
        return self.reconstruct(latents), posterior

    def posterior(self, pixels: Tensor) -> Posterior:
        """The trained encoder: a distribution over unscaled latents.

        A ``TypeError`` if there is nothing to train; so do ``reconstruct`` and ``last_layer``.
        """
        raise TypeError(f"{type(self).__name__} has nothing to train")

    def reconstruct(self, latents: Tensor) -> Tensor:
        """The trained decoder: unscaled latents to pixels."""
        raise TypeError(f"{type(self).__name__} has nothing to train")

    def normalise(self, latents: Tensor) -> Tensor:
        """Unscaled latents (b, c, f, h, w), as a posterior has them, to those for diffusion."""
        return latents

    def last_layer(self) -> nn.Parameter:
        """The weights that give pixels, by which losses are weighed against each other."""
        raise TypeError(f"{type(self).__name__} has nothing to train")

    # -- Sizes ----------------------------------------------------------------------------------

    def check(self, pixels: Tensor, past: Past | None = None) -> None:
        """Refuse pixels of wrong axes, channels, type, size or values: a video's, or a chunk's.

        Values are looked at only on the CPU: a GPU would have to be waited for.
        """
        if pixels.ndim != 5 or pixels.shape[1] != self.pixel_channels:
            raise ValueError(
                f"pixels must be (b, {self.pixel_channels}, f, h, w), got {tuple(pixels.shape)}"
                + (": an image is a video of one frame, x[:, :, None]" if pixels.ndim == 4 else "")
            )
        if not pixels.is_floating_point():
            raise ValueError(
                f"pixels must be floating-point numbers in [-1, 1], got {pixels.dtype}: "
                "x / 127.5 - 1 turns bytes into them"
            )
        frames, height, width = pixels.shape[2:]
        if past:  # the first frame was in an earlier chunk
            self._check_later_frames(frames)
            frames += 1
        self.latent_size(frames, height, width)
        # Fake tensors (of `vidiff plan`) and traced ones have no values to look at.
        valued = type(pixels) in (Tensor, nn.Parameter) and not torch.compiler.is_compiling()
        if valued and pixels.device.type == "cpu" and not pixels.isfinite().all():
            bad = (~pixels.isfinite()).flatten(1).sum(1).tolist()
            clips = [clip for clip, count in enumerate(bad) if count]
            raise ValueError(
                f"pixels must be finite: {sum(bad)} values of clips {clips[:10]} are NaN or "
                "infinite; look at those clips, or replace them by x.nan_to_num()"
            )

    def check_latents(self, latents: Tensor) -> None:
        """Refuse latents (b, c, f, h, w) of no frame or of other channels, by a ``ValueError``."""
        if latents.ndim != 5 or latents.shape[1] != self.latent_channels or not latents.shape[2]:
            raise ValueError(
                f"latents must be (b, {self.latent_channels}, f, h, w) with at least one frame, "
                f"got {tuple(latents.shape)}"
            )

    def _check_later_frames(self, frames: int) -> None:
        ct = self.compression[0]
        if frames < 1 or frames % ct:
            raise ValueError(
                f"{frames} frames do not fit a compression in time of {ct}, which needs k x {ct} "
                f"in every chunk after the first; the nearest is {max(1, round(frames / ct)) * ct}"
            )

    def latent_size(self, frames: int, height: int, width: int) -> Size:
        """The latents' frames, height and width for a video's; raises as ``encode`` does."""
        ct, ch, cw = self.compression
        check_frames(frames, ct, f"frames do not fit a compression in time of {ct}, which needs")
        for axis, size, factor in (("height", height, ch), ("width", width, cw)):
            if size < 1 or size % factor:
                nearest = max(factor, round(size / factor) * factor)
                raise ValueError(
                    f"{axis} {size} does not divide by the compression {factor}; "
                    f"the nearest that does is {nearest}"
                )
        return 1 + (frames - 1) // ct, height // ch, width // cw


class MakeAutoencoder(Protocol):
    """An autoencoder with everything set."""

    def __call__(self) -> Autoencoder: ...


def check_frames(frames: int, step: int, need: str) -> None:
    """Refuse other numbers than 1 + k x ``step``, with ``need`` and the nearest."""
    if frames < 1 or (frames - 1) % step:
        nearest = 1 + max(0, round((frames - 1) / step)) * step
        raise ValueError(f"{frames} {need} 1 + k x {step}; the nearest is {nearest}")
