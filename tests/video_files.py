"""Video files made by tests, whose frames say their number."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_BITS = 12


def numbered_frame(number: int, height: int = 32, width: int = 96) -> np.ndarray:
    """(h, w, 3), uint8: ``number`` as black and white bars, which survive any codec."""
    bits = np.array([number >> bit & 1 for bit in range(_BITS)])
    row = bits[np.arange(width) * _BITS // width] * 255
    return np.broadcast_to(row[None, :, None], (height, width, 3)).astype(np.uint8)


def read_numbers(pixels: np.ndarray) -> list[int]:
    """The numbers of the frames in (3, f, h, w), of any scale."""
    bars = np.array_split(np.asarray(pixels).mean(axis=(0, 2)), _BITS, axis=1)
    bits = [bar.mean(axis=1) > 0 for bar in bars]
    return sum(bit.astype(int) << place for place, bit in enumerate(bits)).tolist()


def write_test_video(
    path: Path,
    times: Sequence[float],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    height: int = 32,
    width: int = 96,
    keyframe_every: int = 12,
    rotation: int = 0,
    ticks: int = 1000,
    frames: Sequence[np.ndarray] | None = None,
    **container_options: str,
) -> Path:
    """A file whose k-th frame shows the number k (or ``frames[k]``) from ``times[k]`` seconds on.

    ``ticks`` a second is what times are rounded to; some codecs need it to be the rate.
    """
    tick = Fraction(1, ticks)
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(len(times) - 1 or 1) / Fraction(times[-1] - times[0] or 1).limit_denominator(
        1000
    )
    with av.open(path, "w", options=container_options) as file:
        stream = file.add_stream(codec, rate=rate.limit_denominator(1000))
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        stream.codec_context.time_base = stream.time_base = tick
        stream.gop_size = keyframe_every
        if rotation:
            stream.set_display_rotation(rotation)
        for number, time in enumerate(times):
            picture = numbered_frame(number, height, width) if frames is None else frames[number]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = round(time / tick), tick
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
