"""The world of MovingShapes: its words, and the exact picture of each scene.

A scene is one shape of one colour on a plain background, moving at constant speed or standing
still. Each pixel is the shape's coverage, from its signed distance function, so a scene has
exactly one rendering and the best-matching scene of any video can be searched for.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from vidiff.data.phrasings import Phrasing, all_sentences, sentence, words_for

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (1.0, 0.15, 0.15),
    "green": (0.15, 0.85, 0.15),
    "blue": (0.2, 0.3, 1.0),
    "yellow": (1.0, 0.9, 0.1),
    "magenta": (0.95, 0.2, 0.95),
    "cyan": (0.1, 0.9, 0.95),
}
"""RGB in [0, 1]."""

SHAPES = ("circle", "square", "triangle", "cross")

MOTIONS: dict[str, tuple[int, int]] = {
    "moves left": (-1, 0),
    "moves right": (1, 0),
    "moves up": (0, -1),
    "moves down": (0, 1),
    "stays still": (0, 0),
}
"""Direction along x (to the right) and y (downwards)."""


@dataclass(frozen=True, order=True)
class Combination:
    """The three things that a caption says."""

    colour: str
    shape: str
    motion: str

    @property
    def caption(self) -> str:
        """For example "a red square moves left"."""
        return sentence(self.colour, self.shape, self.motion)

    def phrased(self, phrasing: Phrasing, uniform: Iterable[float]) -> str:
        """The same in words of a phrasing, which three numbers in [0, 1) choose."""
        names = (self.colour, self.shape, self.motion)
        choices = (words_for(name, phrasing) for name in names)
        chosen = (words[int(u * len(words))] for words, u in zip(choices, uniform, strict=True))
        return sentence(*chosen)


COMBINATIONS = tuple(itertools.starmap(Combination, itertools.product(COLOURS, SHAPES, MOTIONS)))
"""All of them, in a fixed order."""


def parse_caption(caption: str) -> Combination:
    """The combination that a caption or a paraphrase names, by the words of ``phrasings``.

    A ``ValueError`` if it is not of the grammar.
    """
    text = " ".join(caption.lower().split()).rstrip(".")
    combination = _BY_CAPTION.get(text) or _by_sentence().get(text)
    if combination is None:
        raise ValueError(
            f"{caption!r} is not 'a COLOUR SHAPE MOTION' of MovingShapes: colours are "
            f"{', '.join(COLOURS)}; shapes {', '.join(SHAPES)}; motions {', '.join(MOTIONS)}"
        )
    return combination


_BY_CAPTION = {combination.caption: combination for combination in COMBINATIONS}


@functools.cache
def _by_sentence() -> dict[str, Combination]:
    """Some 10,000 sentences, which few runs need."""
    return {
        text: combination
        for combination in COMBINATIONS
        for text in all_sentences(combination.colour, combination.shape, combination.motion)
    }


@dataclass
class Scenes:
    """``b`` scenes; every field is a tensor of shape (b,), lengths in pixels."""

    colour: Tensor  # index into COLOURS
    shape: Tensor  # index into SHAPES
    motion: Tensor  # index into MOTIONS
    radius: Tensor  # half the shape's extent
    speed: Tensor  # per frame; of no effect on a shape that stays still
    x: Tensor  # of the centre in the first frame, from the left edge
    y: Tensor  # likewise from the upper edge
    background: Tensor  # grey level in [0, 1]

    def __len__(self) -> int:
        return len(self.colour)

    def __getitem__(self, index: Tensor | slice) -> Scenes:
        return Scenes(*(getattr(self, f.name)[index] for f in fields(self)))


def render(scenes: Scenes, num_frames: int, height: int, width: int) -> Tensor:
    """Draw scenes: (b, 3, f, h, w) in [-1, 1], anti-aliased over one pixel."""
    device = scenes.x.device
    mask = coverage(scenes, num_frames, height, width).unsqueeze(1)  # b 1 f h w
    palette = torch.tensor(list(COLOURS.values()), device=device)
    colour = palette[scenes.colour].view(-1, 3, 1, 1, 1)
    background = scenes.background.view(-1, 1, 1, 1, 1)
    return (background + (colour - background) * mask) * 2 - 1


def coverage(scenes: Scenes, num_frames: int, height: int, width: int) -> Tensor:
    """The share of each pixel that the shape covers: (b, f, h, w) in [0, 1]."""
    device = scenes.x.device
    directions = torch.tensor(list(MOTIONS.values()), dtype=torch.float32, device=device)
    travelled = torch.arange(num_frames, device=device) * scenes.speed[:, None]  # b f
    direction = directions[scenes.motion]
    centre_x = scenes.x[:, None] + direction[:, 0:1] * travelled
    centre_y = scenes.y[:, None] + direction[:, 1:2] * travelled
    x = torch.arange(width, device=device) + 0.5 - centre_x[..., None]  # b f w
    y = torch.arange(height, device=device) + 0.5 - centre_y[..., None]  # b f h
    radius = scenes.radius.view(-1, 1, 1, 1)
    distance = torch.empty(len(scenes), num_frames, height, width, device=device)
    for index, name in enumerate(SHAPES):
        rows = (scenes.shape == index).nonzero().flatten()
        if len(rows):
            distance[rows] = _DISTANCE[name](x[rows, :, None, :], y[rows, :, :, None], radius[rows])
    return (0.5 - distance).clamp(0, 1)


# Signed distances in pixels (negative inside) at (x right, y down) from the centre; r: radius.


def _circle(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return (x.square() + y.square()).sqrt() - r


def _square(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.85 * r


def _triangle(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    # Apex at (0, -r), base on y = 0.8 r, sides of slope 2: the largest of three half-planes.
    side = (2 * x.abs() - y - r) / 5**0.5
    return torch.maximum(side, y - 0.8 * r)


def _cross(x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.maximum(torch.maximum(x, y) - r, torch.minimum(x, y) - 0.3 * r)


_DISTANCE = {"circle": _circle, "square": _square, "triangle": _triangle, "cross": _cross}
