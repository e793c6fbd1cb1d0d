"""Reconstruction metric interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch import Tensor, nn

from vidiff.registry import kind

if TYPE_CHECKING:
    from vidiff.autoencoders import Posterior

Sums = dict[str, Tensor]  # sums over videos, by name, of shapes that never change


@dataclass
class Reconstruction:
    """Videos and their reconstructions by an autoencoder: (b, 3, f, h, w) in [-1, 1], float32."""

    pixels: Tensor  # of the reconstructions
    reference: Tensor
    latents: Tensor  # those that were decoded, as diffusion sees them: (b, c, f, h, w)
    posterior: Posterior | None = None  # None where the autoencoder is not trained


@kind("reconstruction_metric")
class ReconstructionMetric(nn.Module, ABC):
    """A measure of reconstructed videos against their originals, as two pure functions.

    A batch gives sums, and the scores follow from the sums of all batches: several processes give
    the scores of one, and memory does not grow with the number of videos. A metric may hold a
    network, which is moved to the device with it and never trained.
    """

    higher_is_better: ClassVar[bool | None] = None  # of the first score; None where neither is

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of the scores that it may give; empty where they are not known before."""
        return ()

    @abstractmethod
    def measure(self, videos: Reconstruction) -> Sums:
        """Sums over the videos of a batch; none where it does not apply to this autoencoder."""

    @abstractmethod
    def summarise(self, sums: Sums) -> dict[str, Tensor]:
        """The scores of all videos, scalars by name, from all sums; may wait for the device."""


class VideoScore(ReconstructionMetric):
    """A measure of each video; the score is their mean."""

    score_name: str

    @property
    def score_names(self) -> tuple[str, ...]:
        return (self.score_name,)

    @abstractmethod
    def score(self, videos: Reconstruction) -> Tensor:
        """The number of each video: (b,)."""

    def measure(self, videos: Reconstruction) -> Sums:
        scores = self.score(videos).to(widest(videos.pixels.device))
        return {"score": scores.sum(), "num_videos": scores.new_full((), len(scores))}

    def summarise(self, sums: Sums) -> dict[str, Tensor]:
        return {self.score_name: sums["score"] / sums["num_videos"]}


class MakeReconstructionMetric(Protocol):
    """A measure with everything set."""

    def __call__(self) -> ReconstructionMetric: ...


def widest(device: torch.device) -> torch.dtype:
    """The type to sum in: float64, where the device knows it."""
    return torch.float32 if device.type == "mps" else torch.float64
