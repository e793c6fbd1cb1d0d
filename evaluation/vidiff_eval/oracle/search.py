"""From videos to their nearest true scenes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidiff.data.shapes import Scenes, coverage, render
from vidiff_eval.oracle.fits import scenes_of
from vidiff_eval.oracle.grid import make_grid
from vidiff_eval.oracle.paint import paint_masks
from vidiff_eval.oracle.ranges import Ranges
from vidiff_eval.oracle.refine import refine
from vidiff_eval.statistics.psnr import psnr

# Steps of refinement, and how many candidates of each video are kept after them.
STAGES = ((2, 2), (7, 1))
CHUNK = 8  # videos at a time, so that what is worked on stays in the processor's cache


@dataclass(frozen=True)
class Matches:
    """The best-matching true scenes of ``b`` videos.

    Attributes:
        scenes: the scenes.
        psnr: (b,), each video against the exact rendering of its scene, in dB.
        blank_psnr: (b,), each video against its best plain grey. A video that is nearer to that
            than to any scene shows nothing.
    """

    scenes: Scenes
    psnr: Tensor
    blank_psnr: Tensor


@torch.no_grad()
def find_scenes(videos: Tensor, ranges: Ranges) -> Matches:
    """The nearest true scene of each video (b, 3, f, h, w) in [-1, 1].

    Exact renderings are found exactly, and so are noisy ones. In a video that is about as near to
    two scenes, such as a strongly blurred one, the second nearest may be found.

    Raises:
        ValueError: if the videos are not of that shape, or too small for ``ranges``.
    """
    if videos.ndim != 5 or videos.shape[1] != 3 or not len(videos):
        raise ValueError(f"videos must be (b, 3, f, h, w) with b >= 1, got {tuple(videos.shape)}")
    size = videos.shape[2:]
    ranges.check(*size)
    videos = videos.detach().float().cpu().nan_to_num().clamp(-1, 1)
    found = [_find((chunk + 1) / 2, ranges) for chunk in videos.split(CHUNK)]
    scenes = Scenes(*map(torch.cat, zip(*(vars(one).values() for one in found), strict=True)))
    grey = ((videos.mean(dim=(1, 2, 3, 4)) + 1) / 2).clamp(*ranges.background)
    blank = (grey * 2 - 1).view(-1, 1, 1, 1, 1).expand_as(videos)
    return Matches(scenes, psnr(videos, render(scenes, *size)), psnr(videos, blank))


def _find(videos: Tensor, ranges: Ranges) -> Scenes:
    """The same for a few videos in [0, 1]."""
    fits = make_grid(ranges, *videos.shape[2:]).search(videos)
    for steps, kept in STAGES:
        fits = refine(videos, fits, ranges, steps).best(len(videos), kept)
    scenes = scenes_of(fits, fits.pose, ranges, videos.shape[2:])
    paint = paint_masks(videos[fits.video], coverage(scenes, *videos.shape[2:]), ranges)
    return replace(scenes, colour=paint.colour, background=paint.background)
