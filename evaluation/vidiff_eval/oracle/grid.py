"""All whole-pixel scenes at once, by the Fourier transform: where refinement starts."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, pi

import torch
from torch import Tensor

from vidiff.data.shapes import MOTIONS, SHAPES, Scenes, coverage
from vidiff_eval.oracle.fits import Fits, directions, limits, share_of
from vidiff_eval.oracle.paint import fit_paint
from vidiff_eval.oracle.ranges import Bounds, Ranges

RADIUS_STEP = 1.0  # pixels
PATH_STEP = 2.7  # pixels by which the whole paths of neighbouring speeds may differ
NUM_CANDIDATES = 6  # of motion, radius and shape: worth refining


@lru_cache(maxsize=4)
def make_grid(ranges: Ranges, num_frames: int, height: int, width: int) -> Grid:
    """The grid for videos of one size; kept, as it is the same for all of them."""
    return Grid(ranges, num_frames, height, width)


class Grid:
    """All shapes, radii, motions, speeds and whole-pixel positions that ``ranges`` allow."""

    def __init__(self, ranges: Ranges, num_frames: int, height: int, width: int) -> None:
        self.ranges, self.size = ranges, torch.Size((num_frames, height, width))
        self.radii = _spread(ranges.radius, RADIUS_STEP)
        speeds = _spread(ranges.speed, PATH_STEP / (num_frames - 1))
        still = list(MOTIONS.values()).index((0, 0))
        courses = [
            (motion, speed)
            for motion in range(len(MOTIONS))
            for speed in (speeds[:1] if motion == still else speeds).tolist()
        ]
        self.motion = torch.tensor([motion for motion, _ in courses])
        self.speed = torch.tensor([speed for _, speed in courses])
        self.phases = self._phases()
        self.kernels, self.area, self.squared = self._kernels()
        self.legal = torch.stack([self._legal(radius) for radius in self.radii])

    def search(self, videos: Tensor) -> Fits:
        """The most promising motions, radii and shapes of each video, at their best points."""
        found = [self._search(video) for video in videos]
        fits = Fits(*map(torch.cat, zip(*(vars(one).values() for one in found), strict=True)))
        fits.video = torch.arange(len(videos)).repeat_interleave(NUM_CANDIDATES)
        return fits

    def _search(self, video: Tensor) -> Fits:
        _, height, width = self.size
        spectrum = torch.fft.rfft2(video)  # c f h w
        # The video as seen by an eye that follows each course, all frames on top of each other.
        followed = torch.einsum("cfhw,mfhw->mchw", spectrum, self.phases)
        errors, places = [], []
        for kernels, area, squared, legal in zip(
            self.kernels, self.area, self.squared, self.legal, strict=True
        ):
            product = torch.fft.irfft2(followed[:, None] * kernels, s=(height, width))
            paint = fit_paint(
                product.movedim(2, 0), video.sum(), area, squared, self.ranges,
                num_pixels=self.size.numel(),
            )  # fmt: skip
            least = paint.error.masked_fill_(~legal[:, None], float("inf")).flatten(2).min(2)
            errors.append(least.values)
            places.append(least.indices)
        return self._choose(torch.stack(errors), torch.stack(places))

    def _choose(self, errors: Tensor, places: Tensor) -> Fits:
        """The best of motion, radius and shape, from errors (radii, courses, shapes)."""
        _, height, width = self.size
        others = self.motion != torch.arange(len(MOTIONS))[:, None]
        by_motion = errors.masked_fill(others[:, None, :, None], float("inf"))
        least = by_motion.min(2)  # motions, radii, shapes
        chosen = least.values.flatten().topk(NUM_CANDIDATES, largest=False)
        motion, radius_index, shape = torch.unravel_index(chosen.indices, least.values.shape)
        course = least.indices[motion, radius_index, shape]
        place = places[radius_index, course, shape]
        radius, speed = self.radii[radius_index], self.speed[course]
        path = directions()[motion] * (speed * (self.size[0] - 1))[:, None]
        shares = (
            share_of(*self.ranges.radius, radius),
            share_of(*self.ranges.speed, speed),
            share_of(*limits(radius, path[:, 0], width), place % width + 0.5),
            share_of(*limits(radius, path[:, 1], height), place // width + 0.5),
        )
        return Fits(shape, shape, motion, torch.stack(shares, dim=1), chosen.values)

    def _phases(self) -> Tensor:
        """Shifts that bring every frame of each course onto the first: (courses, f, h, w')."""
        num_frames, height, width = self.size
        y, x = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
        direction = directions()[self.motion]
        turns = direction[:, 0, None, None] * x + direction[:, 1, None, None] * y  # courses h w'
        travelled = self.speed[:, None] * torch.arange(num_frames)  # courses f
        return torch.exp(2j * pi * turns[:, None] * travelled[:, :, None, None])

    def _kernels(self) -> tuple[Tensor, Tensor, Tensor]:
        """Spectra (radii, shapes, h, w') of masks centred on the first pixel, and their sums."""
        num_frames, height, width = self.size
        radius = self.radii.repeat_interleave(len(SHAPES))
        shape = torch.arange(len(SHAPES)).repeat(len(self.radii))
        zero, none = torch.zeros_like(radius), torch.zeros_like(shape)
        x, y = zero + width // 2 + 0.5, zero + height // 2 + 0.5
        scenes = Scenes(none, shape, none, radius, zero, x, y, zero)
        masks = coverage(scenes, 1, height, width)[:, 0]
        masks = masks.roll((-(height // 2), -(width // 2)), dims=(1, 2))
        masks = masks.view(len(self.radii), len(SHAPES), height, width)
        area = masks.sum(dim=(2, 3), keepdim=True) * num_frames
        squared = masks.square().sum(dim=(2, 3), keepdim=True) * num_frames
        return torch.fft.rfft2(masks).conj()[:, :, None].resolve_conj(), area, squared

    def _legal(self, radius: Tensor) -> Tensor:
        """Where a course may start, give or take the grid's coarseness: (courses, h, w)."""
        num_frames, height, width = self.size
        path = directions()[self.motion] * (self.speed * (num_frames - 1))[:, None]
        inside = []
        for axis, extent in ((1, height), (0, width)):
            low, high = limits(radius, path[:, axis], extent)
            centre = torch.arange(extent) + 0.5
            inside.append((centre > low[:, None] - 0.75) & (centre < high[:, None] + 0.75))
        return inside[0][:, :, None] & inside[1][:, None, :]


def _spread(bounds: Bounds, step: float) -> Tensor:
    """Evenly spaced points of a range, its ends among them, at most ``step`` apart."""
    width = bounds[1] - bounds[0]
    return torch.linspace(*bounds, ceil(width / step) + 1 if width else 1)
