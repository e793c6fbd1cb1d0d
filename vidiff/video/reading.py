"""Clips from video files, by time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import torch
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from torch import Tensor

from vidiff.video.picture import picture, shown_size
from vidiff.video.scanning import Scan, scan
from vidiff.video.timing import Timeline

# Containers that hold their own frames. Playlists (HLS, concat) could name other files or hosts.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,flv,ogg,asf,apng,"
    "ivf,yuv4mpegpipe,h264,hevc,m4v,mpegvideo"
)

_SECONDS_BACK = (0.0, 5.0)  # where to seek to before the clip, one try after the other
_SHOWS_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # decoders; the usual ones leave it out
_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics (ITU-T H.273)


class VideoError(ValueError):
    """A file that cannot give the clip asked for; names the file, the reason, and what to do."""

    def __init__(self, path: str | os.PathLike[str], reason: str, next_step: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}; {next_step}")
        self.path, self.reason, self.next_step = Path(path), reason, next_step

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str, str]]:
        return VideoError, (str(self.path), self.reason, self.next_step)


def words(error: BaseException) -> str:
    """The system's words for an error."""
    return getattr(error, "strerror", None) or str(error)


def read_clip(path: str | os.PathLike[str], **clip: Any) -> Tensor:
    """Read one clip of a file; arguments as those of ``VideoReader.clip``."""
    with VideoReader(path) as video:
        return video.clip(**clip)


class VideoReader:
    """An open video file.

    A clip is decoded from the keyframe before its first frame to its last frame. One thread, as
    data loaders have many processes. Rotation, pixel aspect, bit depth, colour space and range are
    taken from the file; transparent pixels are black. A ``VideoError`` if it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._scanned: Scan | None = None
        self._open()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def timeline(self) -> Timeline:
        """When the file's frames are shown."""
        return self._scan.timeline

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return self.timeline.duration

    @property
    def fps(self) -> float:
        """Frames per second, on average."""
        return self.timeline.fps

    @property
    def remarks(self) -> dict[str, str]:
        """Warnings about the file, with what can be done, by kind."""
        found, context = {}, self.stream.codec_context
        if curve := _HDR.get(int(context.color_trc)):
            found["hdr"] = (
                f"HDR ({curve}) is read as if it were SDR, with flat, pale colours; convert it "
                "first: ffmpeg -vf zscale=t=linear,tonemap=hable,zscale=t=bt709:m=bt709:p=bt709"
            )
        if int(context.field_order) > 1:
            found["interlaced"] = (
                "interlaced video is read with both fields in one frame, so that what moves has "
                "combed edges; deinterlace it first: ffmpeg -vf bwdif"
            )
        return found

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

        A ``VideoError`` if the file ends before the clip does, or is damaged there.

        Args:
            start: seconds from the file's first frame.
            fps: of the clip; the file's own average, by default, at which each frame comes once, in
                order. See ``Timeline.numbers`` for others.
            size: (height, width) that the picture is scaled to cover and cropped to; the file's own
                size, by default.
            crop: where to cut, down and across: 0 keeps the top or left, 1 the bottom or right.
        """
        if num_frames < 1 or start < 0 or (fps is not None and fps <= 0):
            raise ValueError(
                "a clip has num_frames >= 1, start >= 0 and fps > 0, "
                f"got {num_frames}, {start} and {fps}"
            )
        try:
            numbers = self.timeline.numbers(num_frames, start, fps)
        except ValueError as error:
            raise self._error(str(error), _AT_THE_END) from None
        clip: list[np.ndarray] = []
        last = None
        for frame in self._shown(numbers):
            clip.append(clip[-1] if frame is last else self._picture(frame, size, crop))
            last = frame
        if len({picture.shape for picture in clip}) > 1:
            raise self._error("its frames change size", "ask for a size")
        pixels = torch.from_numpy(np.stack(clip)).permute(3, 0, 1, 2)
        return pixels.float().div_(127.5).sub_(1)

    def frames(self, start: float = 0.0) -> Iterator[tuple[float, av.VideoFrame]]:
        """Decode frames with their times in seconds, from ``start`` or a little before it."""
        step, wanted = 1 / self.fps, self.timeline.number_at(start)
        for back in _SECONDS_BACK if self._scan.has_times else ():
            if not self._seek(start - back):
                continue
            frames, first = self._decode(step), None
            with contextlib.suppress(VideoError):  # some decoders stumble where a seek lands
                first = next(frames, None)
            if first is not None and self.timeline.number_at(first[0]) <= wanted:
                yield first
                yield from frames
                return
        # The container has no index, its seek lands too late, or frames have no times.
        self.close()
        self._open()
        yield from self._decode(step)

    def shown_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Height and width at which a player shows ``frame``."""
        return shown_size(frame, self.stream.sample_aspect_ratio)

    def _error(self, reason: str, next_step: str = "copy it again or remove it") -> VideoError:
        return VideoError(self.path, reason, next_step)

    def _open(self) -> None:
        try:
            size = self.path.stat().st_size if self.path.is_file() else None
        except OSError as error:
            reason = f"cannot be read ({words(error)})"
            raise self._error(reason, "check its permissions") from error
        if size is None:
            raise self._error("no such file", "check the path")
        if not size:
            raise self._error("the file is empty")
        try:
            self._container = av.open(
                f"file:{self.path}",
                options={"protocol_whitelist": "file", "format_whitelist": _CONTAINERS},
                metadata_errors="replace",
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._error(f"not a readable video ({words(error)})") from error
        stream = self._container.streams.best("video")
        # An unknown codec has no context, one that cannot be decoded no width.
        if not isinstance(stream, VideoStream) or not getattr(stream.codec_context, "width", 0):
            self.close()
            raise self._error("the file has no video that can be decoded", "remove it")
        self.stream, self._decoder = stream, _decoder(stream)
        self._decoder.thread_count = 1
        self._time_base = stream.time_base or Fraction(1, 1000)
        self._at_beginning = True

    @property
    def _scan(self) -> Scan:
        if self._scanned is None:
            self._scanned = scan(self._container, self.stream)
            self._at_beginning = False
            if self._scanned is None:
                raise self._error("the file has no frames", "remove it")
        return self._scanned

    def _seek(self, seconds: float) -> bool:
        ticks = self._scan.origin + round(Fraction(max(0.0, seconds)) / self._time_base)
        try:
            self._container.seek(ticks, stream=self.stream, backward=True)
        except (av.FFmpegError, OSError):
            return False
        self._decoder.flush_buffers()
        self._at_beginning = False
        return True

    def _decode(self, step: float) -> Iterator[tuple[float, av.VideoFrame]]:
        """Frames from the first of known time, with times; one of unknown time lasts ``step``."""
        time = 0.0 if self._at_beginning else None
        self._at_beginning = False
        try:
            for packet in self._container.demux(self.stream):
                for frame in self._decoder.decode(packet):
                    if frame.pts is not None and self._scan.knows(frame.pts):
                        time = float((frame.pts - self._scan.origin) * self._time_base)
                    elif time is None:
                        continue
                    yield time, frame
                    time += step
        except (av.FFmpegError, OSError) as error:
            raise self._error(f"damaged after {time or 0:.2f} s ({words(error)})") from error

    def _shown(self, numbers: np.ndarray) -> Iterator[av.VideoFrame]:
        """The frame of each of ``numbers`` (rising); where the file skips one, that before it."""
        timeline, first = self.timeline, int(numbers[0])
        number, served, shown = -1, 0, None
        for time, frame in self.frames(timeline.time_of(first)):
            # From the first frame on they are counted: times may be off by a little.
            number = number + 1 if number >= first else timeline.number_at(time)
            while shown is not None and numbers[served] < number:
                yield shown
                served += 1
                if served == len(numbers):
                    return
            shown = frame
        for wanted in numbers[served:]:
            if shown is None or wanted > number:
                end, asked = timeline.time_of(max(number, 0)), timeline.time_of(int(wanted))
                reason = f"its frames end at {end:.2f} s, the clip asks for {asked:.2f} s"
                raise self._error(reason, _AT_THE_END)
            yield shown

    def _picture(
        self, frame: av.VideoFrame, size: tuple[int, int] | None, crop: tuple[float, float]
    ) -> np.ndarray:
        """``frame`` as shown, scaled to cover ``size`` and cropped: (h, w, 3), uint8."""
        if frame.is_corrupt:
            raise self._error(f"damaged at {frame.time or 0:.2f} s")
        try:
            return picture(frame, size, crop, self.stream.sample_aspect_ratio)
        except (av.FFmpegError, ValueError) as error:
            reason = f"its pixels ({frame.format.name}) cannot be converted ({words(error)})"
            raise self._error(reason, "convert it to another format or remove it") from error


_AT_THE_END = "copy it again if it was cut off, or ask for fewer frames or a higher fps"


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """The stream's decoder, or the one that shows its alpha."""
    context = stream.codec_context
    name = _SHOWS_ALPHA.get(context.name) if stream.metadata.get("alpha_mode") == "1" else None
    if name is None or name not in av.codecs_available:
        return context
    decoder = cast(VideoCodecContext, VideoCodecContext.create(name, "r"))
    decoder.extradata = context.extradata
    return decoder
