"""Changes of real clips that show what a metric sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TRANSFORMS = {
    "shuffled": "frames in a random order: every frame is right, the motion is not",
    "frozen": "the first frame, held: no motion at all",
    "reversed": "backwards in time: only the direction is wrong",
    "blurred": "each frame blurred: the motion is right, details are gone",
    "noisy": "noise on each frame, anew each time: flicker",
}
"""Names, and what each one means."""

BLUR = 1 / 64
"""Deviation of the Gaussian, in short sides of the frame."""

NOISE = 0.1
"""Deviation of the noise, where pixels are in [-1, 1]: 13 grey levels."""


def transform(name: str, pixels: Tensor) -> Tensor:
    """A clip (3, f, h, w) in [-1, 1] with something done to it; the same clip gives the same.

    Raises:
        ValueError: if ``name`` is neither empty nor one of ``TRANSFORMS``.
    """
    if not name:
        return pixels
    if name == "shuffled":
        return pixels[:, _order(pixels.shape[1])]
    if name == "frozen":
        return pixels[:, :1].expand_as(pixels).clone()
    if name == "reversed":
        return pixels.flip(1)
    if name == "blurred":
        return _blur(pixels, max(0.5, BLUR * min(pixels.shape[2:])))
    if name == "noisy":
        return _noisy(pixels)
    raise ValueError(f"unknown transform {name!r}; known: {', '.join(TRANSFORMS)}")


def _order(num_frames: int) -> Tensor:
    """Frames in an order in which as few as can be follow the one that they follow in time."""
    import torch

    generator = torch.Generator().manual_seed(num_frames)
    tries = [torch.randperm(num_frames, generator=generator) for _ in range(100)]
    return min(tries, key=lambda order: int((order.diff().abs() == 1).sum()))


def _blur(pixels: Tensor, deviation: float) -> Tensor:
    """Each frame under a Gaussian, rows and columns one after the other; borders are held."""
    import torch
    from torch.nn import functional as F

    radius = max(1, round(3 * deviation))
    places = torch.arange(-radius, radius + 1, dtype=pixels.dtype)
    kernel = torch.exp(-places.square() / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    frames = pixels.flatten(0, 1)[:, None]
    for padding, weight in (
        ((radius, radius, 0, 0), kernel[:, :, None]),
        ((0, 0, radius, radius), kernel[..., None]),
    ):
        frames = F.conv2d(F.pad(frames, padding, mode="replicate"), weight)
    return frames[:, 0].unflatten(0, pixels.shape[:2])


def _noisy(pixels: Tensor) -> Tensor:
    import torch

    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    return (pixels + NOISE * noise).clamp(-1, 1)
