"""Clips of folders of videos, as a protocol chooses them."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vidiff.evaluation_report import Group, Row, SkippedFile, Video
from vidiff_eval.clips.frame_folder import content_hash, open_video
from vidiff_eval.clips.listing import VideoFile, list_videos
from vidiff_eval.clips.sample_index import INDEX
from vidiff_eval.clips.transforms import transform
from vidiff_eval.judging.notes import remarks, repeats
from vidiff_eval.protocols.protocol import Begin, Protocol

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

THREADS = 8
"""Files that are hashed and opened at once; both wait for the disk."""


@dataclass(frozen=True)
class Clip:
    """A stretch of a video file.

    Attributes:
        video: the file.
        number: of the clip among those of its file, from 0.
        start: in seconds from the file's first frame.
        num_frames: of the clip.
        fps: frames per second of the clip.
        size: (height, width) that it is read at; None is the file's own.
        transform: the name of what is done to it after reading, see ``transforms``; mostly empty.
    """

    video: VideoFile
    number: int
    start: float
    num_frames: int
    fps: float
    size: tuple[int, int] | None = None
    transform: str = ""

    @property
    def id(self) -> str:
        """Unique within a set: the file's path, and the clip's number where there are several."""
        return f"{self.video.file}#{self.number}" if self.number else self.video.file

    @property
    def first(self) -> float:
        """Where it begins, in frames of its rate."""
        times = self.video.times
        own = times.is_own(self.fps)
        return times.number_at(self.start) if own else self.start * self.fps

    @cached_property
    def key(self) -> str:
        """SHA-256 of the file's content and of all that decides the clip's pixels."""
        from vidiff.video import READING

        what = {
            "file": self.video.sha256,
            "scale": self.video.scale,
            "start": self.start,
            "num_frames": self.num_frames,
            "fps": self.fps,
            "size": self.size,
            "transform": self.transform,
            "reading": READING,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def read(self) -> Tensor:
        """Its pixels (3, f, h, w) in [-1, 1].

        Raises:
            VideoError: if the file is damaged there.
            ValueError: if its size is no multiple of its scale.
        """
        enlarged = self.video.scale > 1
        with open_video(self.video.path) as video:
            pixels = video.clip(
                num_frames=self.num_frames, start=self.start, fps=self.fps,
                size=None if enlarged else self.size,
            )  # fmt: skip
        if enlarged:
            pixels = _cover(self._reduced(pixels), self.size)
        return transform(self.transform, pixels)

    def _reduced(self, pixels: Tensor) -> Tensor:
        from einops import reduce

        scale, (height, width) = self.video.scale, pixels.shape[2:]
        if height % scale or width % scale:
            raise ValueError(
                f"{self.video.path} is {height}x{width}, no multiple of its scale {scale} in "
                f"{INDEX}; sample it again"
            )
        return reduce(pixels, "c f (h sh) (w sw) -> c f h w", "mean", sh=scale, sw=scale)

    def describe(self, index: int, found: dict[str, Row]) -> Video:
        """The clip for reports: its place in the set, and what metrics found of it."""
        return Video(
            id=self.id,
            file=self.video.file,
            index=index,
            prompt=self.video.prompt,
            seed=self.video.seed,
            sha256=self.video.sha256,
            start=round(self.start, 6),
            found=found,
        )

    def transformed(self, name: str) -> Clip:
        """The same clip with something done to it."""
        return replace(self, transform=name)


def _cover(pixels: Tensor, size: tuple[int, int] | None) -> Tensor:
    """(c, f, h, w) scaled to cover ``size`` and centre cropped, as files are when they are read."""
    if size in (None, tuple(pixels.shape[2:])):
        return pixels
    from torch.nn.functional import interpolate

    assert size is not None
    height, width = pixels.shape[2:]
    scale = max(size[0] / height, size[1] / width)
    cover = [max(n, round(m * scale)) for n, m in zip(size, (height, width), strict=True)]
    pixels = interpolate(pixels, cover, mode="area" if scale < 1 else "bicubic").clamp(-1, 1)
    top, left = (round((whole - kept) / 2) for whole, kept in zip(cover, size, strict=True))
    return pixels[:, :, top : top + size[0], left : left + size[1]]


@dataclass(frozen=True)
class ClipSet:
    """Clips to be measured together, and the files that could give none.

    Attributes:
        folder: where they come from.
        clips: in the order of their files.
        skipped: why, by file.
        notes: what a reader of the scores should know of the choice.
    """

    folder: Path
    clips: list[Clip]
    skipped: dict[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def sha256(self) -> str:
        """Of the clips' contents, in any order: equal sets are equal, wherever they are."""
        keys = sorted(clip.key for clip in self.clips)
        return hashlib.sha256("\n".join(keys).encode()).hexdigest()

    def without(self, skipped: dict[str, str]) -> ClipSet:
        """The set without the files of ``skipped``."""
        clips = [clip for clip in self.clips if clip.video.file not in skipped]
        return replace(self, clips=clips, skipped={**self.skipped, **skipped})

    @cached_property
    def by_content(self) -> list[Clip]:
        """The clips in an order that their contents decide, whatever files are called."""
        return sorted(self.clips, key=lambda clip: clip.key)

    def transformed(self, name: str) -> ClipSet:
        """The set with something done to each clip."""
        return replace(self, clips=[clip.transformed(name) for clip in self.clips])


def choose_clips(
    folder: Path, protocol: Protocol, *, side: str, prompts: Path | None = None
) -> ClipSet:
    """The clips of a folder that a protocol compares.

    Args:
        folder: of video files, searched with its subfolders, see ``list_videos``.
        protocol: decides the clips.
        side: ``real`` or ``generated``.
        prompts: a file of prompts, see ``read_prompts``; by default what the folder says.

    Returns:
        The clips; what is no file, cannot be opened, or is too short for a clip is skipped, with
        the reason.

    Raises:
        ValueError: if there is no such folder, or no video that can be opened and is long enough.
    """
    listing = list_videos(folder, prompts)
    opened, damaged = open_files(listing.files)
    if not opened:
        reasons = "; ".join(f"{file}: {reason}" for file, reason in [*damaged.items()][:3])
        raise ValueError(f"{folder} has no video that can be read ({reasons})")
    skipped = {**listing.left_out, **damaged}
    clips: list[Clip] = []
    short: list[TooShortError] = []
    for video in opened:
        try:
            clips += _clips(video, protocol, side)
        except TooShortError as error:
            short.append(error)
            skipped[video.file] = error.reason
    if not clips:
        longest = max(short, key=lambda error: error.num_frames)
        others = f", and {len(short) - 1} more files no more" if len(short) > 1 else ""
        raise ValueError(f"{longest.path} {longest.reason}{others}{longest.advice}")
    for file, reason in skipped.items():
        log.warning("%s is left out: %s", folder / file, reason)
    chosen = _some(clips, protocol)
    notes = [*listing.notes, *_copies(opened), *remarks(chosen), *repeats(chosen)]
    for note in notes:
        log.warning("%s: %s", folder, note)
    return ClipSet(folder, chosen, skipped, notes)


def _copies(files: Sequence[VideoFile]) -> list[str]:
    """A note on files of the same content."""
    first: dict[str, VideoFile] = {}
    copies = [file for file in files if first.setdefault(file.sha256, file) is not file]
    if not copies:
        return []
    other = first[copies[0].sha256].file
    return [
        f"{len(copies)} files are copies of another ({copies[0].file} of {other}): they count as "
        "further videos, which makes intervals too narrow; remove them"
    ]


def open_files(files: Sequence[VideoFile]) -> tuple[list[VideoFile], dict[str, str]]:
    """Files with their hash, length and rate, and why others could not be opened."""
    from vidiff.video import VideoError

    def look(file: VideoFile) -> VideoFile | str:
        try:
            with open_video(file.path) as video:
                known = replace(
                    file, duration=video.duration, fps=video.fps, timeline=video.timeline,
                    remarks=video.remarks,
                )  # fmt: skip
            return replace(known, sha256=content_hash(file.path))
        except VideoError as error:
            return error.reason
        except OSError as error:
            return str(error.strerror or error)

    with ThreadPoolExecutor(THREADS) as pool:
        seen = list(pool.map(look, files))
    opened = [found for found in seen if isinstance(found, VideoFile)]
    skipped = {f.file: why for f, why in zip(files, seen, strict=True) if isinstance(why, str)}
    return opened, skipped


class TooShortError(ValueError):
    """A file that has too few frames for a clip.

    Args:
        path: of the file.
        num_frames: that it has, at the protocol's rate.
        reason: in words.
        advice: what to do if all files are like this.
    """

    def __init__(self, path: Path, num_frames: int, reason: str, advice: str) -> None:
        super().__init__(f"{path} {reason}{advice}")
        self.path, self.num_frames, self.reason, self.advice = path, num_frames, reason, advice


def _clips(video: VideoFile, protocol: Protocol, side: str) -> Iterator[Clip]:
    """The clips of one file, one after the other; as many as fit."""
    if protocol.fps and video.path.is_dir():
        raise ValueError(
            f"{video.path} is a folder of frames, which has no rate to read it at "
            f"{protocol.fps:g} frames per second: set --protocol.fps null, or give video files"
        )
    rate, stride, times = protocol.fps or video.fps, protocol.stride_of(side), video.times
    total = times.count(protocol.fps)  # frames at that rate
    length = protocol.num_frames or math.ceil(total / stride)
    needed = (length - 1) * stride + 1
    if needed > total:
        raise TooShortError(
            video.path,
            total,
            f"has {total} frames at {rate:g} per second, protocol {protocol.name} takes "
            f"{length}{f' at stride {stride}' if stride > 1 else ''}",
            f": set --protocol.num_frames to {1 + (total - 1) // stride} or less, or take "
            "--protocol whole",
        )
    step = length * stride
    count = min(protocol.clips_per_video, 1 + (total - needed) // step)
    spare = total - needed - (count - 1) * step
    begin: Begin = protocol.real_clip if side == "real" else protocol.generated_clip
    share = {"start": 0.0, "middle": 0.5, "random": _unit(protocol.seed, video.sha256)}[begin]
    first = math.floor(share * (spare + 1)) if begin == "random" else math.floor(share * spare)
    for number in range(count):
        frame = first + number * step
        start = times.time_of(frame) if times.is_own(protocol.fps) else frame / rate
        yield Clip(video, number, start, length, rate / stride, protocol.size)


def _some(clips: list[Clip], protocol: Protocol) -> list[Clip]:
    """At most ``num_clips``, whatever else is in the folder and however files are called."""
    if protocol.num_clips is None or len(clips) <= protocol.num_clips:
        return clips
    order = sorted(clips, key=lambda clip: (_unit(protocol.seed, clip.key), clip.id))
    kept = {clip.id for clip in order[: protocol.num_clips]}
    return [clip for clip in clips if clip.id in kept]


def _unit(seed: int, text: str) -> float:
    """A number in [0, 1) that a seed and a text decide."""
    digest = hashlib.sha256(f"{seed} {text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def describe_set(clips: ClipSet) -> Group:
    """A set for reports."""
    return Group(
        num_clips=len(clips),
        folder=str(clips.folder),
        sha256=clips.sha256,
        skipped=[SkippedFile(file, why) for file, why in clips.skipped.items()],
        notes=list(clips.notes),
        fps=sorted({round(clip.fps, 3) for clip in clips.clips}),
    )
