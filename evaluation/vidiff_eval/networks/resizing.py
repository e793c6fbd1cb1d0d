"""The ways in which tools bring frames to the size of a network; see ``Protocol.resize``."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from vidiff_eval.protocols.protocol import Resize

ROUNDING = 1e-3
"""Grey levels by which float32 may miss a whole one."""


def prepare(clips: Tensor, size: int, resize: Resize, *, to_uint8: bool = False) -> Tensor:
    """Clips (b, 3, f, h, w) in [-1, 1] to (b, 3, f, size, size) in [-1, 1].

    Args:
        clips: as they were read.
        size: of the network's input.
        resize: the way, see ``Protocol.resize``.
        to_uint8: whether pixels are cut to whole grey levels first.
    """
    if to_uint8:
        clips = whole_levels(clips)
    if clips.shape[-2:] == (size, size):
        return clips
    frames = rearrange(clips, "b c f h w -> (b f) c h w")
    resized = {"stretch": stretch, "stretch_corners": stretch_corners, "crop": crop}[resize](
        frames, size
    )
    return rearrange(resized, "(b f) c h w -> b c f h w", b=len(clips))


def whole_levels(pixels: Tensor) -> Tensor:
    """Pixels in [-1, 1] cut to whole ones of 256 grey levels, downwards, as bytes are.

    What was a whole level stays one, though it may have missed it by rounding.
    """
    levels = (pixels.clamp(-1, 1) + 1) * 127.5
    return (levels + ROUNDING).floor() / 127.5 - 1


def stretch(frames: Tensor, size: int) -> Tensor:
    """(b, c, h, w) to (b, c, size, size): bilinear between pixel centres, no antialiasing."""
    return F.interpolate(frames, (size, size), mode="bilinear", align_corners=False)


def stretch_corners(frames: Tensor, size: int) -> Tensor:
    """(b, c, h, w) to (b, c, size, size): bilinear from pixels' corners, no antialiasing.

    ``resize_bilinear`` of TensorFlow 1 with its defaults: place i is taken from i * h / size, half
    a pixel (of the larger picture) off the centre that others take it from.
    """
    for axis in (-2, -1):
        low, high, weight = _corners(frames.shape[axis], size, frames)
        shape = (-1, 1) if axis == -2 else (-1,)
        before, after = frames.index_select(axis, low), frames.index_select(axis, high)
        frames = before + (after - before) * weight.view(shape)
    return frames


def _corners(extent: int, size: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each place: the pixels before and after it, and the weight of the latter."""
    source = torch.arange(size, dtype=torch.float32, device=like.device) * (extent / size)
    low = source.floor().long().clamp(max=extent - 1)
    high = (low + 1).clamp(max=extent - 1)
    return low, high, (source - low).to(like.dtype)


def crop(frames: Tensor, size: int) -> Tensor:
    """(b, c, h, w) to (b, c, size, size): the short side scaled, the middle kept.

    As VideoGPT's tool has it, to the rounding of sizes: bilinear between pixel centres, no
    antialiasing, the longer side rounded up, an odd pixel cut off at the end.
    """
    height, width = frames.shape[-2:]
    scale = size / min(height, width)
    if height < width:
        target = (size, math.ceil(width * scale))
    else:
        target = (math.ceil(height * scale), size)
    frames = F.interpolate(frames, target, mode="bilinear", align_corners=False)
    top, left = (target[0] - size) // 2, (target[1] - size) // 2
    return frames[..., top : top + size, left : left + size]
