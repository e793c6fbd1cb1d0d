"""Clips, and sets of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vidiff.evaluation_report import Group, Row, SkippedFile, Video
from vidiff_eval.clips.frame_folder import open_video
from vidiff_eval.clips.listing import VideoFile
from vidiff_eval.clips.sample_index import INDEX
from vidiff_eval.clips.transforms import transform

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Clip:
    """A stretch of a video file."""

    video: VideoFile  # the file
    number: int  # of the clip among those of its file, from 0
    start: float  # in seconds from the file's first frame
    num_frames: int  # of the clip
    fps: float  # frames per second of the clip
    size: tuple[int, int] | None = None  # (height, width) to read it at; None is the file's own
    transform: str = ""  # name of what is done to it after reading, see ``transforms``

    @property
    def id(self) -> str:
        """Unique within a set: the file's path, and the clip's number where there are several."""
        return f"{self.video.file}#{self.number}" if self.number else self.video.file

    @property
    def first(self) -> float:
        """Where it begins, in frames of its rate."""
        times = self.video.times
        return times.number_at(self.start) if times.is_own(self.fps) else self.start * self.fps

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
    """Clips to be measured together, and the files that could give none."""

    folder: Path  # where they come from
    clips: list[Clip]  # in the order of their files
    skipped: dict[str, str] = field(default_factory=dict)  # why, by file
    notes: Sequence[str] = ()  # for readers of the scores

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

    def transformed(self, name: str) -> ClipSet:
        """The set with something done to each clip."""
        return replace(self, clips=[replace(clip, transform=name) for clip in self.clips])

    def describe(self) -> Group:
        """The set for reports, without scores."""
        return Group(
            num_clips=len(self),
            folder=str(self.folder),
            sha256=self.sha256,
            skipped=[SkippedFile(file, why) for file, why in self.skipped.items()],
            notes=list(self.notes),
            fps=sorted({round(clip.fps, 3) for clip in self.clips}),
        )


@dataclass(frozen=True)
class Sides:
    """All clips of an evaluation: groups of generated ones by name, and real ones, if any."""

    generated: dict[str, ClipSet]
    real: ClipSet | None = None

    @property
    def sets(self) -> list[ClipSet]:
        """The groups, and last the real clips."""
        return [*self.generated.values(), *([] if self.real is None else [self.real])]

    def without(self, skipped: Sequence[dict[str, str]]) -> Sides:
        """The sides without some files of each of ``sets``."""
        left = [clips.without(files) for clips, files in zip(self.sets, skipped, strict=True)]
        generated = dict(zip(self.generated, left, strict=False))
        return Sides(generated, None if self.real is None else left[-1])
