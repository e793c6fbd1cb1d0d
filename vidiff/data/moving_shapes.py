"""MovingShapes: a small world in which "did the video follow the prompt?" has an exact answer."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch

from vidiff.checks import at_least
from vidiff.data.base import Split, VideoDataset
from vidiff.data.shapes import COLOURS, COMBINATIONS, MOTIONS, SHAPES, Combination, Scenes, render
from vidiff.registry import register
from vidiff.seeds import clip_generator
from vidiff.types import Size, VideoSample


@register("moving_shapes")
class MovingShapes(VideoDataset):
    """Captioned clips of a coloured shape that moves or stays still, drawn on the fly.

    6 colours x 4 shapes x 5 motions make 120 combinations. ``held_out`` of them are never in the
    splits ``train`` and ``val`` and are all that the split ``test`` has, so a model's prompts can
    be told apart into those it has seen and those it must compose. The choice of held-out
    combinations does not depend on ``seed``; every colour, shape and motion stays in training. No
    shape may leave the frame: a ``ValueError`` says how much room its path needs.

    Args:
        split: ``train`` and ``val`` draw seen combinations, ``test`` draws held-out ones.
        num_videos: clips in one epoch of ``train``.
        num_val_videos: clips in ``val`` and in ``test``.
        num_frames: frames of a clip.
        height: of a frame, in pixels.
        width: of a frame, in pixels.
        sizes: several (frames, height, width) instead of one: a model then learns them all.
        radius: smallest and largest half extent of the shape, in pixels.
        speed: smallest and largest speed, in pixels per frame.
        background: darkest and lightest background, grey levels in [0, 1].
        held_out: number of combinations kept from training.
        seed: with the index, decides everything that is drawn.
    """

    def __init__(
        self,
        *,
        split: Split,
        num_videos: int = 100_000,
        num_val_videos: int = 256,
        num_frames: int = 9,
        height: int = 32,
        width: int = 32,
        sizes: list[tuple[int, int, int]] | None = None,
        radius: tuple[float, float] = (5.0, 8.0),
        speed: tuple[float, float] = (1.0, 2.0),
        background: tuple[float, float] = (0.0, 0.3),
        held_out: int = 24,
        seed: int = 0,
    ) -> None:
        ranges = {"radius": radius, "speed": speed, "background": background}
        for name, (low, high) in ranges.items():
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be 0 <= smallest <= largest, got {[low, high]}")
        if background[1] > 1:
            raise ValueError(f"background is a grey level in [0, 1], got {list(background)}")
        self.sizes = [(num_frames, height, width)] if sizes is None else sizes
        if not self.sizes:
            raise ValueError("sizes must hold at least one (frames, height, width), got none")
        at_least(0, num_videos=num_videos, num_val_videos=num_val_videos)
        for frames, *frame in self.sizes:
            at_least(1, num_frames=frames, height=frame[0], width=frame[1])
            needed = 2 * radius[1] + speed[1] * (frames - 1)
            if needed > min(frame):
                raise ValueError(
                    f"a shape of radius {radius[1]} at {speed[1]} pixels per frame needs "
                    f"{needed:g} pixels for {frames} frames, more than the {min(frame)} of a "
                    "frame: lower radius, speed or num_frames, or enlarge height and width"
                )
        seen, unseen = split_combinations(held_out)
        self.combinations = unseen if split == "test" else seen
        self.num_sizes = len(self.sizes)
        self.radius, self.speed, self.background = radius, speed, background
        self.split, self.seed = split, seed
        self.length = num_videos if split == "train" else num_val_videos

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> VideoSample:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[VideoSample]:
        """Draw all scenes of a batch in one go, about ten times faster than one by one."""
        samples: dict[int, VideoSample] = {}
        for number, size in enumerate(self.sizes):
            here = [index for index in indices if index % self.num_sizes == number]
            if here:
                pixels = render(self._scenes(drawn := self._draw_all(here), size), *size)
                for clip, (combination, _), index in zip(pixels, drawn, here, strict=True):
                    name = f"{self.split}/{index}"
                    samples[index] = VideoSample(clip, combination.caption, name)
        return [samples[index] for index in indices]

    def scenes(self, indices: Sequence[int]) -> Scenes:
        """The scenes behind the clips at ``indices``, which are of one size."""
        return self._scenes(self._draw_all(indices), self.sizes[indices[0] % self.num_sizes])

    def _draw_all(self, indices: Sequence[int]) -> list[tuple[Combination, np.ndarray]]:
        return [self._draw(index // self.num_sizes) for index in indices]

    def _draw(self, index: int) -> tuple[Combination, np.ndarray]:
        if not 0 <= index < self.length:
            raise IndexError(f"clip {index} of {self.length}")
        generator = clip_generator(self.seed, self.split, index)
        combination = self.combinations[generator.integers(len(self.combinations))]
        return combination, generator.random(5)

    def _scenes(self, drawn: list[tuple[Combination, np.ndarray]], size: Size) -> Scenes:
        num_frames, height, width = size
        uniform = torch.from_numpy(np.stack([u for _, u in drawn])).float()
        radius = _between(self.radius, uniform[:, 0])
        speed = _between(self.speed, uniform[:, 1])
        background = _between(self.background, uniform[:, 2])
        motions, directions = list(MOTIONS), torch.tensor(list(MOTIONS.values()))
        motion = torch.tensor([motions.index(c.motion) for c, _ in drawn])
        path = directions[motion] * (speed * (num_frames - 1))[:, None]  # b 2, in pixels
        return Scenes(
            colour=torch.tensor([list(COLOURS).index(c.colour) for c, _ in drawn]),
            shape=torch.tensor([SHAPES.index(c.shape) for c, _ in drawn]),
            motion=motion,
            radius=radius,
            speed=speed,
            x=_start(uniform[:, 3], radius, path[:, 0], width),
            y=_start(uniform[:, 4], radius, path[:, 1], height),
            background=background,
        )


def split_combinations(held_out: int) -> tuple[tuple[Combination, ...], tuple[Combination, ...]]:
    """The combinations seen in training, and the ``held_out`` ones that are not.

    A ``ValueError`` if a colour, shape or motion would never be seen.
    """
    if held_out < 0:
        raise ValueError(f"held_out must not be negative, got {held_out}")
    order = list(COMBINATIONS)
    random.Random("vidiff MovingShapes").shuffle(order)
    unseen, seen = order[:held_out], order[held_out:]
    for part in ("colour", "shape", "motion"):
        missing = {getattr(c, part) for c in COMBINATIONS} - {getattr(c, part) for c in seen}
        if missing:
            raise ValueError(f"held_out={held_out} leaves no {part} {sorted(missing)}; lower it")
    return tuple(sorted(seen)), tuple(sorted(unseen))


def _between(bounds: tuple[float, float], uniform: torch.Tensor) -> torch.Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * uniform


def _start(
    uniform: torch.Tensor, radius: torch.Tensor, path: torch.Tensor, extent: int
) -> torch.Tensor:
    """Where to start so that the whole path of length ``path`` keeps the shape in the frame."""
    low = radius + (-path).clamp(min=0)
    high = extent - radius - path.clamp(min=0)
    return low + (high - low) * uniform
