"""Candidates of the search: scenes whose pose is being improved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidiff.data.shapes import MOTIONS, Scenes
from vidiff_eval.oracle.ranges import Ranges


@dataclass
class Fits:
    """Candidates, ``n`` in all, each for one of the videos.

    ``pose`` (n, 4) holds radius, speed, x and y, each as its share of its range, so that every
    true scene is a point of the unit cube.
    """

    video: Tensor
    shape: Tensor
    motion: Tensor
    pose: Tensor
    error: Tensor

    def __getitem__(self, rows: Tensor) -> Fits:
        return Fits(*(value[rows] for value in vars(self).values()))

    def best(self, num_videos: int, kept: int) -> Fits:
        """The ``kept`` fits with the smallest error of each video, in order of videos."""
        error = self.error.view(num_videos, -1)
        first = torch.arange(num_videos)[:, None] * error.shape[1]
        return self[(first + error.topk(kept, largest=False).indices).flatten()]


def scenes_of(fits: Fits, pose: Tensor, ranges: Ranges, size: torch.Size) -> Scenes:
    """The scenes of fits at ``pose``, not yet painted; ``size`` is frames, height and width."""
    num_frames, height, width = size
    share = pose.unbind(1)
    radius, speed = _between(*ranges.radius, share[0]), _between(*ranges.speed, share[1])
    path = directions()[fits.motion] * (speed * (num_frames - 1))[:, None]
    x = _between(*limits(radius, path[:, 0], width), share[2])
    y = _between(*limits(radius, path[:, 1], height), share[3])
    blank = torch.zeros_like(fits.shape)
    return Scenes(blank, fits.shape, fits.motion, radius, speed, x, y, torch.zeros_like(x))


def limits(radius: Tensor, path: Tensor, extent: int) -> tuple[Tensor, Tensor]:
    """First centres that keep a shape in the frame along its whole path."""
    return radius + (-path).clamp(min=0), extent - radius - path.clamp(min=0)


def _between(low: Tensor | float, high: Tensor | float, share: Tensor) -> Tensor:
    return low + (high - low) * share


def share_of(low: Tensor | float, high: Tensor | float, value: Tensor) -> Tensor:
    """Where in a range a value stands: 0 at its low end, 1 at its high end, nothing outside."""
    width = torch.as_tensor(high - low)
    return ((value - low) / width.clamp(min=1e-6)).clamp(0, 1)


def directions() -> Tensor:
    """Of the motions, along x and y: (motions, 2)."""
    return torch.tensor(list(MOTIONS.values()), dtype=torch.float32)
