"""Single frames of clips through a network for pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from vidiff_eval.networks.exact import exact

AT_ONCE = 64
"""Frames that go through a network together."""


@dataclass(frozen=True)
class Preparation:
    """How frames become the input of a network: scaled as PIL does, the middle cut out, normalised.

    Attributes:
        size: (height, width) of what is cut out.
        resize: of the short side, in pixels, or (height, width) to stretch to.
        interpolation: of the pixels, always with antialiasing.
        mean: of each colour in [0, 1], taken off.
        std: of each colour, divided by.
        odd: where the cut begins if an odd number of pixels is left over: the half ``down``, as
            transformers has it, or to the ``even`` number, as torchvision has it.

    Raises:
        ValueError: if there would be less than ``size`` to cut from.
    """

    size: tuple[int, int]
    resize: int | tuple[int, int]
    interpolation: Literal["bicubic", "bilinear"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    odd: Literal["down", "even"]

    def __post_init__(self) -> None:
        scaled = (self.resize,) * 2 if isinstance(self.resize, int) else self.resize
        if scaled[0] < self.size[0] or scaled[1] < self.size[1]:
            raise ValueError(
                f"a network's frames are cut to {self.size} pixels, and scaled to {self.resize} "
                "before, which is less: padding is not supported, mend the network's settings"
            )

    @property
    def record(self) -> dict[str, Any]:
        """All of it as plain values."""
        stretch = isinstance(self.resize, tuple)
        return {
            "size": list(self.size),
            "resize": list(self.resize) if isinstance(self.resize, tuple) else self.resize,
            "way": f"{'stretch' if stretch else 'short side'}, {self.interpolation}, antialiased",
            "mean": list(self.mean),
            "std": list(self.std),
            "odd": self.odd,
        }

    def __call__(self, frames: Tensor) -> Tensor:
        """Frames (n, 3, h, w) in [-1, 1] to the network's input (n, 3, *size).

        Values are whole grey levels of 256 until they are normalised: those of a picture are, and
        libraries scale pictures.
        """
        levels, target = _whole((frames + 1) * 127.5), self._scaled(*frames.shape[-2:])
        # Rows, then columns, with whole levels in between: as PIL, whose newer versions begin with
        # the columns where a stretch is cheaper so, which is one level in some pixels.
        for size in ((frames.shape[-2], target[1]), target):
            if size != tuple(levels.shape[-2:]):
                levels = F.interpolate(levels, size, mode=self.interpolation, antialias=True)
                levels = _whole(levels)
        top, left = (self._start(target[axis] - self.size[axis]) for axis in (0, 1))
        cut = levels[..., top : top + self.size[0], left : left + self.size[1]]
        mean, std = (cut.new_tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return (cut / 255 - mean) / std

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self.resize, tuple):
            return self.resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def _start(self, spare: int) -> int:
        return spare // 2 if self.odd == "down" else round(spare / 2)


def embed_frames(
    clips: Tensor,
    prepare: Preparation,
    embed: Callable[[Tensor], Tensor],
    device: torch.device | str,
) -> Tensor:
    """A vector for each frame of clips (b, 3, f, h, w) in [-1, 1]: (b, f, d) on the CPU.

    Args:
        clips: on any device.
        prepare: frames for the network.
        embed: the network: (n, 3, h, w) to (n, d).
        device: that it computes on.
    """
    frames = rearrange(clips, "b c f h w -> (b f) c h w")
    with exact():
        parts = [
            embed(prepare(part.to(device, torch.float32))).float().cpu()
            for part in frames.split(AT_ONCE)
        ]
    return rearrange(torch.cat(parts), "(b f) d -> b f d", b=len(clips))


def _whole(levels: Tensor) -> Tensor:
    """Halves are rounded up, as PIL does."""
    return (levels + 0.5).floor().clamp(0, 255)
