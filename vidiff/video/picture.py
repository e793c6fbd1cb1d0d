"""Decoded frames to pixels, as a player shows them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation

# How colours are converted between files and tensors, the same in both directions.
EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
FULL_RANGE, BT709 = 2, 1

_WITH_ALPHA = ("rgba", "bgra", "argb", "abgr", "yuva", "gbrap", "ya8", "ya16", "pal8")


@dataclass(frozen=True)
class Orientation:
    """How stored frames are turned before they are shown: one of eight ways."""

    transposed: bool = False  # rows become columns, before anything is mirrored
    upside_down: bool = False  # rows are then mirrored
    mirrored: bool = False  # columns are then mirrored

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """That of the frame's display matrix, to the nearest quarter turn."""
        data: Any = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        # (x, y) is shown at (a x + c y, b x + d y).
        a, b, _, c, d = (int(entry) for entry in np.frombuffer(bytes(data), np.int32)[:5])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, upside_down=d < 0, mirrored=a < 0)
        return cls(True, upside_down=b < 0, mirrored=c < 0)

    @property
    def degrees(self) -> int:
        """The rotation, anticlockwise; a mirrored frame is mirrored left to right before it."""
        if self.transposed:
            return 270 if self.mirrored else 90
        return 180 if self.upside_down else 0

    @property
    def flips(self) -> bool:
        """Whether writing is mirrored, as no rotation does."""
        return self.transposed ^ self.upside_down ^ self.mirrored

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """(h, w, c) as shown."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]


def shown_size(frame: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Height and width at which a player shows ``frame``, whose pixels have ``aspect``."""
    height, width = frame.height, max(1, round(frame.width * (aspect or 1)))
    return (width, height) if Orientation.of(frame).transposed else (height, width)


def picture(
    frame: av.VideoFrame,
    size: tuple[int, int] | None,
    crop: tuple[float, float],
    aspect: Fraction | None,
) -> np.ndarray:
    """``frame`` as shown, scaled to cover ``size`` and cropped: (h, w, 3), uint8.

    Pixels that cannot be converted raise an ``FFmpegError`` or ``ValueError``.
    """
    shown_height, shown_width = shown_size(frame, aspect)
    height, width = size or (shown_height, shown_width)
    scale = max(height / shown_height, width / shown_width)
    cover = max(height, round(shown_height * scale)), max(width, round(shown_width * scale))
    orientation = Orientation.of(frame)
    stored_height, stored_width = reversed(cover) if orientation.transposed else cover
    has_alpha = frame.format.name.startswith(_WITH_ALPHA)
    rgb = frame.reformat(
        width=stored_width,
        height=stored_height,
        format="rgba" if has_alpha else "rgb24",
        interpolation=EXACT | (Interpolation.AREA if scale < 1 else Interpolation.BICUBIC),
        dst_color_range=FULL_RANGE,
        threads=1,
    ).to_ndarray()
    if has_alpha:
        rgb = (rgb[..., :3] * (rgb[..., 3:] / 255.0)).round().astype(np.uint8)
    rgb = orientation.apply(rgb)
    top, left = (
        round(part * (whole - kept))
        for part, whole, kept in zip(crop, cover, (height, width), strict=True)
    )
    return rgb[top : top + height, left : left + width]
