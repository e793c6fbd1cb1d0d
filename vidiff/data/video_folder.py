"""Clips from a folder of the user's own video files."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from vidiff.captions import (
    TABLES,
    check_texts,
    file_key,
    folder_table,
    read_caption,
    read_table,
    text_beside,
)
from vidiff.checks import at_least, positive
from vidiff.data.base import Split, VideoDataset
from vidiff.data.folder_notes import of_captions, of_files, of_no_video
from vidiff.data.order import Permutation
from vidiff.data.packed import PackedStrings
from vidiff.fingerprints import file_hash
from vidiff.folders import Contents, scan
from vidiff.formatting import listed
from vidiff.registry import register
from vidiff.seeds import clip_generator
from vidiff.types import VideoSample
from vidiff.video import READING, VideoError, VideoReader, repeated_share

log = logging.getLogger(__name__)

_REMARKS = ("hdr", "interlaced", "repeats")  # on files that are used


@register("video_folder")
class VideoFolder(VideoDataset):
    """Clips from all video files under a folder, with their captions.

    Captions come from ``captions.csv`` (``path,caption``) or ``captions.jsonl`` in the folder, else
    from ``name.txt`` beside ``name.mp4``; a clip that has none gets "". Paths in a table are
    relative to the folder.

    A file that cannot give a clip (empty, not a video, cut off, too short, damaged) is left out:
    another takes its place, and ``problems`` says why; a ``ValueError`` if none can give one. A
    file that is damaged in one place still gives the clips that lie elsewhere in it.

    Args:
        split: ``train`` has what ``val_fraction`` leaves; ``val`` and ``test`` have the rest, or
            the training files if ``val_fraction`` is 0.
        root: the folder; its subfolders are searched too.
        num_frames: frames of a clip.
        height: of a clip, in pixels; the picture is scaled to cover height and width, then cropped.
        width: of a clip, in pixels.
        fps: frames per second of a clip, by the files' time stamps; null is each file's own rate.
        crop: where to crop: the centre, or at random.
        start: where in its file a clip starts: somewhere, at the beginning, in the middle, or at a
            number of seconds.
        short: what to do with a file shorter than a clip: leave it out, play it again from its
            beginning, or hold its last frame.
        captions: where they come from: ``auto`` as above, ``none`` gives every clip "", else a
            table, whose own path is relative to the folder too, as ``vidiff recaption`` writes it.
        val_fraction: share kept from training, in [0, 1).
        hold_out: what is kept from training: whole files, chosen by their paths alone, so that
            adding files moves no other; or the last stretch of each file.
        clips_per_video: clips drawn from each file in one epoch; all files come before the second
            clip of any.
        seed: with the index, decides the start and the crop.
    """

    draws_anew = True

    def __init__(
        self,
        *,
        split: Split,
        root: str,
        num_frames: int = 17,
        height: int = 64,
        width: int = 64,
        fps: float | None = None,
        crop: Literal["center", "random"] = "center",
        start: Literal["random", "first", "center"] | float = "random",
        short: Literal["skip", "loop", "hold"] = "skip",
        captions: str = "auto",
        val_fraction: float = 0.0,
        hold_out: Literal["files", "stretches"] = "files",
        clips_per_video: int = 1,
        seed: int = 0,
    ) -> None:
        at_least(
            1, num_frames=num_frames, height=height, width=width, clips_per_video=clips_per_video
        )
        positive(fps=fps)
        if not isinstance(start, str) and start < 0:
            raise ValueError(f"start must not be negative, got {start}")
        if not 0 <= val_fraction < 1:
            raise ValueError(f"val_fraction must be in [0, 1), got {val_fraction}")
        self.root = Path(root).expanduser()
        self.split, self.seed = split, seed
        self.held_out = split != "train" and val_fraction > 0
        self.num_frames, self.size, self.fps = num_frames, (height, width), fps
        self.crop, self.start, self.short = crop, start, short
        self.clips_per_video = clips_per_video
        self._stretch = _stretch(split, val_fraction if hold_out == "stretches" else 0.0)
        self._problems: dict[str, str] = {}
        # Kinds of remarks already made, shared with the workers that get this dataset.
        self._told = torch.zeros(len(_REMARKS), dtype=torch.uint8).share_memory_()
        self._unusable: set[int] = set()  # files that can give no clip at all
        self._index(captions, val_fraction if hold_out == "files" else 0.0)

    def __len__(self) -> int:
        return self.num_files * self.clips_per_video

    def __getitem__(self, index: int) -> VideoSample:
        if index < 0:
            raise IndexError(f"clip {index} of {len(self)}")
        first = index % self.num_files  # file after file, so that a few clips show all of them
        generator = clip_generator(self.seed, self.split, index)
        where, *crop = generator.random(3)
        for file in self._candidates(first, index):
            if file in self._unusable:
                continue
            try:
                return self._read(file, where, (crop[0], crop[1]), index)
            except VideoError as error:
                used = "" if file in self._unusable else "; clips elsewhere in it are used"
                reason = f"{error.reason}; {error.next_step}{used}"
                self._problems.setdefault(self._paths[file], reason)
        raise ValueError(
            f"none of the {self.num_files} files in {self.root} can give a clip: "
            + listed([f"{path}: {why}" for path, why in self._problems.items()], 10, "; ")
        )

    def _candidates(self, first: int, index: int) -> Iterator[int]:
        """The file asked for, then all in an order of this index, to take its place.

        What takes it depends on the files alone, not on what this process has met before, so that
        a resumed run sees the same clips.
        """
        yield first
        order = Permutation(self.num_files, self.seed, index)
        for place in range(self.num_files):
            yield int(order(np.array([place]))[0])

    def problems(self) -> dict[str, str]:
        return dict(self._problems)

    def fingerprint(self) -> str:
        """A hash of each file's path, size, first and last 64 KiB, and caption."""
        digest = hashlib.sha256(f"reading {READING}".encode())
        with ThreadPoolExecutor(16) as pool:
            for begin in range(0, self.num_files, 1024):
                files = range(begin, min(begin + 1024, self.num_files))
                for line in pool.map(self._fingerprint_of, files):
                    digest.update(line)
        return digest.hexdigest()

    def _fingerprint_of(self, file: int) -> bytes:
        path = self._paths[file]
        content: str | None = None
        with suppress(OSError):  # left out when a clip is asked for
            content = file_hash(self.root / path)
        return json.dumps([path, content, self._caption(file)]).encode() + b"\n"

    def _read(self, file: int, where: float, crop: tuple[float, float], index: int) -> VideoSample:
        path = self._paths[file]
        with ExitStack() as opened:
            try:
                video = opened.enter_context(VideoReader(self.root / path))
                num_frames, begin = self._place(video, where)
            except VideoError:
                self._unusable.add(file)
                raise
            pixels = video.clip(
                num_frames=num_frames,
                start=begin,
                fps=self.fps,
                size=self.size,
                crop=crop if self.crop == "random" else (0.5, 0.5),
            )
            self._remark(path, video, num_frames, begin)
        frames = np.arange(self.num_frames)
        frames = frames % num_frames if self.short == "loop" else frames.clip(max=num_frames - 1)
        if num_frames < self.num_frames:
            pixels = pixels[:, frames]
        return VideoSample(pixels, self._caption(file), f"{path}#{index}")

    def _remark(self, path: str, video: VideoReader, num_frames: int, begin: float) -> None:
        """Say once of each kind what is odd about a file that is used."""
        found = dict(video.remarks)
        share = repeated_share(video.timeline.numbers(num_frames, begin, self.fps))
        if share:
            found["repeats"] = (
                f"{share:.0%} of the frames of a clip repeat the one before, as the file has "
                f"{video.fps:g} frames per second or holds some and fps is {self.fps:g}; lower "
                "fps, or set it to null"
            )
        for kind, text in found.items():
            if not self._told[_REMARKS.index(kind)]:
                self._told[_REMARKS.index(kind)] = 1
                log.warning("%s: %s (said once, other files may be alike)", self.root / path, text)

    def _place(self, video: VideoReader, where: float) -> tuple[int, float]:
        """How many frames to read, and from which second on."""
        timeline = video.timeline
        # Stretches are of whole frames, so that no frame is in two.
        first, stop = (math.ceil(share * timeline.num_frames - 1e-6) for share in self._stretch)
        begin = timeline.time_of(min(first, timeline.num_frames - 1))
        if not isinstance(self.start, str):
            begin += self.start
            first = timeline.number_at(begin) if begin < timeline.duration else stop
        end = timeline.time_of(stop) if stop < timeline.num_frames else timeline.duration
        rate = self.fps or timeline.fps
        if timeline.is_own(self.fps):
            available = stop - first
            last = stop - self.num_frames
        else:
            # The last frame begins to be shown well before the end: what comes next may be early.
            end -= 0.5 / (rate if stop == timeline.num_frames else min(rate, timeline.fps))
            available = int((end - begin) * rate + 1 + 1e-6) if first < stop else 0
            latest = max(begin, end - (self.num_frames - 1) / rate)
            last = timeline.number_at(latest)
            last -= timeline.time_of(last) > latest + 1e-6
        if available < self.num_frames:
            if self.short == "skip" or available < 1:
                raise VideoError(
                    video.path,
                    f"too short: {self.num_frames} frames at {rate:g} per second from second "
                    f"{begin:g} on need {begin + self.num_frames / rate:.2f} s, "
                    f"it has {video.duration:.2f} s{self._share()}",
                    "lower num_frames, raise fps, or set short to loop or hold",
                )
            return available, begin
        share = {"random": where, "center": 0.5}.get(str(self.start), 0.0)
        # At a frame of the file, so that its own rate gives exactly its own frames.
        later = int(share * (last - first + 1))
        return self.num_frames, timeline.time_of(first + later) if later else begin

    def _share(self) -> str:
        low, high = self._stretch
        return f" ({low:.0%} to {high:.0%} of it for {self.split})" if high - low < 1 else ""

    def _caption(self, file: int) -> str:
        if self._has_text[file]:
            path = self.root / self._paths[file]
            text = text_beside(path)
            try:
                return read_caption(text) if text else ""
            except ValueError as error:  # it was changed since the start
                raise VideoError(path, f"its caption cannot be read: {error}", "mend it") from error
        return self._captions[file] if len(self._captions) else ""

    def _index(self, captions: str, val_fraction: float) -> None:
        if not self.root.is_dir():
            raise ValueError(f"video_folder: {self.root} is not a folder; set root")
        contents = scan(self.root, links_out=False)
        self._problems |= contents.left_out
        everything = contents.videos
        table = self._table(captions)
        keys = {file_key(path) for path in everything} if table else set()
        for note in [*of_files(contents), *of_captions(self.root, table, keys)]:
            log.warning("%s: %s", self.root, note)
        wants = self.split != "train" and val_fraction > 0
        files = [path for path in everything if (_unit_hash(path) < val_fraction) == wants]
        self.num_files = len(files)
        if not files:
            raise ValueError(self._nothing(contents, val_fraction))
        given = [table.get(file_key(path), "") for path in files] if table else []
        has_text = [
            captions == "auto" and path in contents.texts and not (given and given[number])
            for number, path in enumerate(files)
        ]
        self._paths, self._captions = PackedStrings(files), PackedStrings(given)
        self._has_text = np.array(has_text)
        check_texts(self.root / contents.texts[files[k]] for k in np.flatnonzero(has_text))
        self._report(len(everything), val_fraction)
        bare = len(files) - sum(has_text) - sum(map(bool, given))
        if captions != "none" and bare:
            some = f"{bare} of {len(files)} files for {self.split}"
            log.warning('%s: %s have no caption and get ""', self.root, some)

    def _table(self, captions: str) -> dict[str, str]:
        """Captions by file, where a table has them."""
        if captions in ("auto", "none"):
            return folder_table(self.root) if captions == "auto" else {}
        path = self.root / Path(captions).expanduser()
        if path.suffix not in TABLES or not path.is_file():
            raise ValueError(
                f"captions must be auto, none, or a table ({' or '.join(TABLES)}), got {captions!r}"
                + ("" if path.is_file() else f": {path} does not exist")
            )
        return read_table(path, self.root)

    def _nothing(self, contents: Contents, val_fraction: float) -> str:
        if total := len(contents.videos):
            return (
                f"val_fraction={val_fraction} leaves none of the {total} files in {self.root} for "
                f"{self.split}: {'lower' if self.split == 'train' else 'raise'} it, add files, or "
                "set it to 0 (val and test then use the training files)"
            )
        return f"video_folder: {of_no_video(contents)}"

    def _report(self, total: int, val_fraction: float) -> None:
        shared = ", the training files" if self.split != "train" and not val_fraction else ""
        some = f"{self.num_files} of {total} files for {self.split}"
        log.info("%s: %s (val_fraction %g%s)", self.root, some, val_fraction, shared)


def _stretch(split: Split, val_fraction: float) -> tuple[float, float]:
    """Where the split begins and ends in each file, as shares of its duration."""
    if not val_fraction:
        return 0.0, 1.0
    return (0.0, 1 - val_fraction) if split == "train" else (1 - val_fraction, 1.0)


def _unit_hash(path: str) -> float:
    """A number in [0, 1) that only depends on the path."""
    digest = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
