"""Properties of video files."""

from __future__ import annotations

import os
from dataclasses import dataclass

from vidiff.video.picture import Orientation
from vidiff.video.reading import VideoReader


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a file."""

    duration: float  # in seconds
    fps: float  # frames per second, on average
    height: int  # in pixels, as shown: after rotation, with square pixels
    width: int
    rotation: int  # of frames before they are shown, in degrees, anticlockwise
    num_frames: int
    mirrored: bool = False  # left to right, before the rotation


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Properties of a file; decodes one frame.

    Raises:
        VideoError: if the file cannot be read.
    """
    with VideoReader(path) as video:
        _, frame = next(video.frames())
        height, width = video.shown_size(frame)
        turn, num_frames = Orientation.of(frame), video.timeline.num_frames
        return VideoInfo(
            video.duration, video.fps, height, width, turn.degrees, num_frames, turn.flips
        )
