"""Clips from video files, by time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from torch import Tensor

from vidiff.video.colour import EXACT, FULL_RANGE

# Containers that hold their own frames. Playlists (HLS, concat) could name other files or hosts.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,flv,ogg,asf,apng"

_SECONDS_BACK = (0.0, 5.0)  # where to seek to before the clip, one try after the other
_WITH_ALPHA = ("rgba", "bgra", "argb", "abgr", "yuva", "gbrap", "ya8", "ya16", "pal8")


class VideoError(ValueError):
    """A file that cannot give the clip asked for; says which file, why, and what to do."""

    def __init__(self, path: str | os.PathLike[str], reason: str, next_step: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}; {next_step}")
        self.path, self.reason, self.next_step = Path(path), reason, next_step

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str, str]]:
        return VideoError, (str(self.path), self.reason, self.next_step)


@dataclass(frozen=True)
class VideoInfo:
    """What a file says of itself.

    Attributes:
        duration: in seconds.
        fps: frames per second, on average.
        height: in pixels, as shown: after rotation, with square pixels.
        width: in pixels, as shown.
        rotation: degrees, anticlockwise, by which frames are turned before they are shown.
        num_frames: about how many there are.
    """

    duration: float
    fps: float
    height: int
    width: int
    rotation: int
    num_frames: int


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """What a file says of itself; decodes one frame.

    Raises:
        VideoError: if the file is no video that can be read.
    """
    with VideoReader(path) as video:
        _, frame = next(video.frames())
        height, width = video.shown_size(frame)
        num_frames = video.stream.frames or round(video.duration * video.fps)
        rotation = _quarter_turns(frame) * 90 % 360
        return VideoInfo(video.duration, video.fps, height, width, rotation, num_frames)


def read_clip(
    path: str | os.PathLike[str],
    *,
    num_frames: int,
    start: float = 0.0,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    crop: tuple[float, float] = (0.5, 0.5),
) -> Tensor:
    """Read one clip of a file: see ``VideoReader.clip``."""
    with VideoReader(path) as video:
        return video.clip(num_frames=num_frames, start=start, fps=fps, size=size, crop=crop)


class VideoReader:
    """An open video file.

    Nothing is decoded before a clip is asked for, and then only what the clip needs: from the
    keyframe before its first frame to its last frame. One thread, as data loaders have many
    processes. Rotation, pixel aspect, bit depth, colour space and range are taken from the file;
    transparent pixels are black.

    Args:
        path: the file. What it holds counts, not its name.

    Raises:
        VideoError: if the file is no video that can be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._measured: tuple[float, float] | None = None
        self._open()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        if self.stream.duration:
            return float(self.stream.duration * self._time_base)
        return self._measure()[0]

    @property
    def fps(self) -> float:
        """Frames per second, on average."""
        return float(self.stream.average_rate or self._measure()[1])

    def clip(
        self,
        *,
        num_frames: int,
        start: float = 0.0,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        crop: tuple[float, float] = (0.5, 0.5),
    ) -> Tensor:
        """Read (3, num_frames, height, width) in [-1, 1], float32.

        Args:
            num_frames: how many frames the clip has.
            start: seconds from the file's first frame.
            fps: frames per second of the clip; None is the file's own average.
            size: (height, width) of the clip; the picture is scaled until it covers it, and what
                stands over is cut off. None is the file's own size.
            crop: where to cut, down and across: 0 keeps the top or left, 1 the bottom or right.

        Raises:
            VideoError: if the file ends before the clip does, or is damaged there.
        """
        if num_frames < 1 or start < 0 or (fps is not None and fps <= 0):
            raise ValueError(
                "a clip has num_frames >= 1, start >= 0 and fps > 0, "
                f"got {num_frames}, {start} and {fps}"
            )
        fps = fps or self.fps
        wanted = [start + k / fps for k in range(num_frames)]
        clip: list[np.ndarray] = []
        last = None
        for frame in self._shown(wanted):
            clip.append(clip[-1] if frame is last else self._picture(frame, size, crop))
            last = frame
        if len({picture.shape for picture in clip}) > 1:
            raise VideoError(self.path, "its frames change size", "ask for a size")
        pixels = torch.from_numpy(np.stack(clip)).permute(3, 0, 1, 2)
        return pixels.float().div_(127.5).sub_(1)

    def frames(self, start: float = 0.0) -> Iterator[tuple[float, av.VideoFrame]]:
        """Decode frames with their times in seconds, from ``start`` or a little before it."""
        step = 1 / self.fps
        for back in _SECONDS_BACK:
            if not self._seek(start - back):
                continue
            frames, first = self._decode(step), None
            with contextlib.suppress(VideoError):  # some decoders stumble where a seek lands
                first = next(frames, None)
            if first is not None and first[0] <= start + self._tolerance:
                yield first
                yield from frames
                return
        # The container has no index, or its seek lands too late.
        self.close()
        self._open()
        yield from self._decode(step)

    def shown_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Height and width at which a player shows ``frame``."""
        aspect = self.stream.sample_aspect_ratio or Fraction(1)
        height, width = frame.height, max(1, round(frame.width * aspect))
        return (width, height) if _quarter_turns(frame) % 2 else (height, width)

    def _open(self) -> None:
        if not self.path.is_file():
            raise VideoError(self.path, "no such file", "check the path")
        if not self.path.stat().st_size:
            raise VideoError(self.path, "the file is empty", "copy it again or remove it")
        try:
            self._container = av.open(
                f"file:{self.path}",
                options={"protocol_whitelist": "file", "format_whitelist": _CONTAINERS},
                metadata_errors="replace",
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise VideoError(
                self.path, f"not a readable video ({_words(error)})", "copy it again or remove it"
            ) from error
        stream = self._container.streams.best("video")
        # An unknown codec has no context, one that cannot be decoded no width.
        if not isinstance(stream, VideoStream) or not getattr(stream.codec_context, "width", 0):
            self.close()
            raise VideoError(self.path, "the file has no video that can be decoded", "remove it")
        stream.codec_context.thread_count = 1
        self.stream = stream
        self._time_base = stream.time_base or Fraction(1, 1000)
        self._origin = (stream.start_time or 0) * self._time_base
        # Containers round times to their tick; a coarse tick is a frame, and exact.
        self._tolerance = min(float(self._time_base) / 2, 1e-3) + 1e-6

    def _seek(self, seconds: float) -> bool:
        ticks = int((Fraction(max(0.0, seconds)) + self._origin) / self._time_base)
        try:
            self._container.seek(ticks, stream=self.stream, backward=True)
        except (av.FFmpegError, OSError):
            return False
        return True

    def _seconds(self, ticks: int) -> float:
        return float(ticks * self._time_base - self._origin)

    def _decode(self, step: float) -> Iterator[tuple[float, av.VideoFrame]]:
        time = 0.0
        try:
            for frame in self._container.decode(self.stream):
                if frame.pts is not None:
                    time = self._seconds(frame.pts)
                yield time, frame
                time += step  # for containers without times
        except (av.FFmpegError, OSError) as error:
            raise VideoError(
                self.path,
                f"damaged after {time:.2f} s ({_words(error)})",
                "copy it again or remove it",
            ) from error

    def _shown(self, wanted: Sequence[float]) -> Iterator[av.VideoFrame]:
        """For each time in ``wanted`` (rising) the frame that is shown then."""
        shown: av.VideoFrame | None = None
        end, served = 0.0, 0
        for time, frame in self.frames(wanted[0]):
            while shown is not None and wanted[served] < time - self._tolerance:
                yield shown
                served += 1
                if served == len(wanted):
                    return
            shown, end = frame, time + max(_length(frame), 2 / self.fps)
        for time in wanted[served:]:
            if shown is None or time > end:
                raise VideoError(
                    self.path,
                    f"its frames end at {end:.2f} s, the clip asks for {time:.2f} s "
                    f"and the file promises {self.duration:.2f} s",
                    "copy it again if it was cut off, or ask for fewer frames or a higher fps",
                )
            yield shown

    def _picture(
        self, frame: av.VideoFrame, size: tuple[int, int] | None, crop: tuple[float, float]
    ) -> np.ndarray:
        """``frame`` as shown, scaled to cover ``size`` and cropped: (h, w, 3), uint8."""
        if frame.is_corrupt:
            raise VideoError(
                self.path, f"damaged at {frame.time or 0:.2f} s", "copy it again or remove it"
            )
        shown_height, shown_width = self.shown_size(frame)
        height, width = size or (shown_height, shown_width)
        scale = max(height / shown_height, width / shown_width)
        cover = max(height, round(shown_height * scale)), max(width, round(shown_width * scale))
        turns = _quarter_turns(frame)
        stored_height, stored_width = reversed(cover) if turns % 2 else cover
        has_alpha = frame.format.name.startswith(_WITH_ALPHA)
        try:
            rgb = frame.reformat(
                width=stored_width,
                height=stored_height,
                format="rgba" if has_alpha else "rgb24",
                interpolation=EXACT | (Interpolation.AREA if scale < 1 else Interpolation.BICUBIC),
                dst_color_range=FULL_RANGE,
                threads=1,
            ).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                self.path,
                f"its pixels ({frame.format.name}) cannot be converted ({_words(error)})",
                "convert it to another format or remove it",
            ) from error
        if has_alpha:
            rgb = (rgb[..., :3] * (rgb[..., 3:] / 255.0)).round().astype(np.uint8)
        rgb = np.rot90(rgb, turns)
        top, left = (
            round(part * (whole - kept))
            for part, whole, kept in zip(crop, cover, (height, width), strict=True)
        )
        return rgb[top : top + height, left : left + width]

    def _measure(self) -> tuple[float, float]:
        """Duration and rate from the packets, for a header that lacks them; decodes nothing."""
        if self._measured is None:
            rate = self.stream.average_rate
            promised = (self._container.duration or 0) / 1e6
            times = self._packet_times(promised if rate else 0.0)
            if not times:
                raise VideoError(self.path, "the file has no frames", "remove it")
            first, last = min(times)[0], max(times)
            step = float(1 / rate) if rate else (last[0] - first) / max(1, len(times) - 1)
            duration = last[0] + (last[1] or step)
            self._measured = (duration, float(rate) if rate else len(times) / (duration or 1.0))
        return self._measured

    def _packet_times(self, start: float) -> list[tuple[float, float]]:
        """(time, length) in seconds of the packets from the keyframe before ``start`` on."""
        if not self._seek(start):
            self.close()
            self._open()
        try:
            return [
                (self._seconds(packet.pts), float((packet.duration or 0) * self._time_base))
                for packet in self._container.demux(self.stream)
                if packet.pts is not None
            ]
        except (av.FFmpegError, OSError):
            return []


def _quarter_turns(frame: av.VideoFrame) -> int:
    """How often to turn by 90 degrees anticlockwise: 0 to 3."""
    return round(frame.rotation / 90) % 4


def _length(frame: av.VideoFrame) -> float:
    """Seconds that the container gives to ``frame``; 0 if it does not say."""
    return int(frame.duration or 0) * float(frame.time_base or 0)


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
