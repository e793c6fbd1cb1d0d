"""Tensors to video files, folders of frames, and contact sheets."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vidiff.checks import positive
from vidiff.files import new_folder, replacing
from vidiff.video.picture import BT709, EXACT, FULL_RANGE

SMALL = 512 * 512
"""Frames of so many pixels are encoded by one thread: more would wait for each other."""


def write_video(path: str | os.PathLike[str], pixels: Tensor, fps: float) -> None:
    """Write (3, f, h, w) in [-1, 1] as .mp4 (H.264), .webm (VP9) or .gif, by the name's ending.

    Browsers play all three. The first two need even sizes: a last row or column is repeated. A gif
    holds equal frames in a row as one long frame. Pixels outside [-1, 1] are clipped. The file
    appears when it is complete. A ``ValueError`` if its ending, the shape or the rate is none of
    these, or a pixel is NaN.
    """
    path = Path(path)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise ValueError(f"cannot write {path.name}: end its name in {', '.join(_WRITERS)}")
    positive(fps=fps)
    frames = to_uint8(pixels)
    with replacing(path) as temporary:
        write(temporary, frames, fps)


def write_frames(folder: str | os.PathLike[str], pixels: Tensor) -> None:
    """Write (3, f, h, w) in [-1, 1] as ``00000.png`` and so on into a folder that must be new."""
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"{folder} exists; name a new folder or remove it")
    frames = to_uint8(pixels)
    with new_folder(folder) as temporary:
        for index, frame in enumerate(frames):
            Image.fromarray(frame).save(temporary / f"{index:05d}.png")


def contact_sheet(path: str | os.PathLike[str], rows: Sequence[Image.Image]) -> None:
    """Write one PNG of several videos, at least one, each a row of ``sheet_row``."""
    if not rows:
        raise ValueError("a contact sheet needs at least one video, got none")
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(r.height for r in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    with replacing(Path(path)) as temporary:
        sheet.save(temporary, format="PNG")


def scale_to(short_side: int, size: Sequence[int]) -> int:
    """The factor that enlarges (height, width) to at least so many pixels; 1 where they are."""
    return max(1, math.ceil(short_side / min(size)))


def enlarged(pixels: Tensor, scale: int) -> Tensor:
    """Pixels (…, h, w), each repeated in both directions."""
    return pixels.repeat_interleave(scale, -1).repeat_interleave(scale, -2)


def to_uint8(pixels: Tensor) -> np.ndarray:
    """(3, f, h, w) in [-1, 1] to (f, h, w, 3), uint8; a ``ValueError`` if a pixel is not finite."""
    if pixels.ndim != 4 or pixels.shape[0] != 3 or not pixels.numel():
        raise ValueError(f"a video is (3, f, h, w), got {tuple(pixels.shape)}")
    pixels = pixels.detach()
    if not (finite := pixels.isfinite().all(3).all(2).all(0)).all():
        bad = (~finite).nonzero().flatten().tolist()
        raise ValueError(
            f"pixels must be finite: {len(bad)} of {len(finite)} frames hold NaN or infinity, the "
            f"first is frame {bad[0]}; look at what made them, or replace them by x.nan_to_num()"
        )
    levels = pixels.float().clamp(-1, 1).add(1).mul(127.5).round()
    return levels.byte().permute(1, 2, 3, 0).contiguous().cpu().numpy()


def _write_mp4(path: Path, frames: np.ndarray, fps: float) -> None:
    # faststart puts the index first, so that a browser can play while it loads. Colours are
    # averaged over 2x2 pixels: without chromaloc H.264 says that they belong to the left two.
    options = {"crf": "14", "movflags": "+faststart", "x264-params": "chromaloc=1"}
    _encode(path, frames, fps, "mp4", "libx264", options)


def _write_webm(path: Path, frames: np.ndarray, fps: float) -> None:
    options = {"crf": "20", "b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "4"}
    _encode(path, frames, fps, "webm", "libvpx-vp9", options)


def _encode(
    path: Path, frames: np.ndarray, fps: float, container: str, codec: str, options: dict[str, str]
) -> None:
    height, width = frames.shape[1:3]
    frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    movflags = {k: v for k, v in options.items() if k == "movflags"}
    with av.open(path, "w", format=container, options=movflags) as file:
        rate = Fraction(fps).limit_denominator(1001)
        stream = cast(VideoStream, file.add_stream(codec, rate=rate))
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.options = {k: v for k, v in options.items() if k != "movflags"}
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = 1  # limited, as players expect
        if frames.shape[1] * frames.shape[2] <= SMALL:
            context.thread_count = 1
        reformatter = VideoReformatter()  # of all frames: a new one would start its threads anew
        for array in frames:
            picture = reformatter.reformat(
                av.VideoFrame.from_ndarray(array, format="rgb24"),
                format="yuv420p",
                dst_colorspace=BT709,
                src_color_range=FULL_RANGE,
                dst_color_range=1,
                interpolation=EXACT | Interpolation.BICUBIC,
            )
            file.mux(stream.encode(picture))
        file.mux(stream.encode())


def _write_gif(path: Path, frames: np.ndarray, fps: float) -> None:
    # One palette for all frames, or a still background would flicker.
    strip = Image.fromarray(frames.reshape(-1, *frames.shape[2:]))
    palette = strip.quantize(256, method=Image.Quantize.MEDIANCUT)
    images = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    # A gif counts hundredths of a second. Round when frames end, not how long they last, so that
    # errors do not add up, and down, so that each is there when its time comes.
    ends = [int(100 * (k + 1) / fps) for k in range(len(frames))]
    lengths = [10 * max(1, end - begin) for begin, end in zip([0, *ends], ends, strict=False)]
    images[0].save(
        path, format="GIF", save_all=True, append_images=images[1:], duration=lengths, loop=0
    )


_WRITERS: dict[str, Callable[[Path, np.ndarray, float], None]] = {
    ".mp4": _write_mp4,
    ".webm": _write_webm,
    ".gif": _write_gif,
}

ENDINGS = tuple(_WRITERS)  # of the files that ``write_video`` writes


def sheet_row(video: Tensor, caption: str, *, num_frames: int = 8, height: int = 96) -> Image.Image:
    """Evenly spaced frames of a video (3, f, h, w) in [-1, 1], both ends too, under its caption."""
    f = video.shape[1]
    frames = to_uint8(video[:, np.linspace(0, f - 1, min(num_frames, f)).round().astype(int)])
    width = max(1, round(height * frames.shape[2] / frames.shape[1]))
    font = ImageFont.load_default(size=14)
    lines = textwrap.wrap(caption, max(20, (width + 2) * len(frames) // 8)) or [""]
    row = Image.new("RGB", ((width + 2) * len(frames), height + 18 * len(lines) + 8), "white")
    ImageDraw.Draw(row).multiline_text((2, 2), "\n".join(lines), fill="black", font=font)
    # Toy videos are enlarged without smoothing, so that each of their pixels can be seen.
    enlarge = height > frames.shape[1]
    how = Image.Resampling.NEAREST if enlarge else Image.Resampling.LANCZOS
    for column, frame in enumerate(frames):
        tile = Image.fromarray(frame).resize((width, height), how)
        row.paste(tile, (column * (width + 2), row.height - height - 2))
    return row
