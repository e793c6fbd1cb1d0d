"""Which clips of a folder a protocol chooses."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from vidiff.formatting import listed
from vidiff_eval.clips.clip import Clip, ClipSet
from vidiff_eval.clips.frame_folder import content_hash, open_video
from vidiff_eval.clips.listing import VideoFile, list_videos
from vidiff_eval.clips.notes import copies, remarks, repeats
from vidiff_eval.protocols.protocol import Protocol

log = logging.getLogger(__name__)

THREADS = 8
"""Files that are hashed and opened at once; both wait for the disk."""


def choose_clips(
    folder: Path, protocol: Protocol, *, side: str, prompts: Path | None = None
) -> ClipSet:
    """The clips of a folder that a protocol compares.

    Args:
        folder: of video files, searched with its subfolders, see ``list_videos``.
        protocol: decides the clips.
        side: ``real`` or ``generated``.
        prompts: a file of prompts, see ``read_prompts``; by default those of the folder.

    Returns:
        The clips. Files that cannot be opened or are too short for a clip are skipped, with the
        reason.

    Raises:
        ValueError: if there is no such folder, or no video that can be opened and is long enough.
    """
    listing = list_videos(folder, prompts)
    opened, damaged = open_files(listing.files)
    if not opened:
        reasons = [f"{file}: {reason}" for file, reason in damaged.items()]
        raise ValueError(
            f"{folder} has no video that can be read ({listed(reasons, 3, separator='; ')})"
        )
    skipped = {**listing.left_out, **damaged}
    clips: list[Clip] = []
    short: dict[VideoFile, TooShortError] = {}
    for video in opened:
        try:
            clips += clips_of(video, protocol, side)
        except TooShortError as error:
            short[video] = error
            skipped[video.file] = error.reason
    if not clips:
        longest = max(short, key=lambda video: short[video].num_frames)
        others = f", and {len(short) - 1} more files no more" if len(short) > 1 else ""
        reason, advice = short[longest].reason, short[longest].advice
        raise ValueError(f"{longest.path} {reason}{others}{advice}")
    for file, reason in skipped.items():
        log.warning("%s is left out: %s", folder / file, reason)
    chosen = _some(clips, protocol)
    notes = [*listing.notes, *copies(opened), *remarks(chosen), *repeats(chosen)]
    for note in notes:
        log.warning("%s: %s", folder, note)
    return ClipSet(folder, chosen, skipped, notes)


def open_files(files: Sequence[VideoFile]) -> tuple[list[VideoFile], dict[str, str]]:
    """Files with their hash, length and rate, and why others could not be opened."""
    from vidiff.video import VideoError

    def look(file: VideoFile) -> VideoFile | str:
        try:
            with open_video(file.path) as video:
                timeline, remarks, fps = video.timeline, video.remarks, video.fps
            digest = content_hash(file.path)
            return replace(file, timeline=timeline, remarks=remarks, fps=fps, sha256=digest)
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
    """A file has too few frames for a clip.

    Args:
        num_frames: of the file, at the protocol's rate.
        reason: in words, without the file.
        advice: what to do if all files are too short.
    """

    def __init__(self, num_frames: int, reason: str, advice: str) -> None:
        super().__init__(reason + advice)
        self.num_frames, self.reason, self.advice = num_frames, reason, advice


def clips_of(video: VideoFile, protocol: Protocol, side: str) -> list[Clip]:
    """The clips of one file, one after the other; as many as fit.

    Raises:
        TooShortError: if there is none.
        ValueError: if the file has no rate and the protocol asks for one.
    """
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
            total,
            f"has {total} frames at {rate:g} per second, protocol {protocol.name} takes "
            f"{length}{f' at stride {stride}' if stride > 1 else ''}",
            f": set --protocol.num_frames to {1 + (total - 1) // stride} or less, or take "
            "--protocol whole",
        )
    step = length * stride
    count = min(protocol.clips_per_video, 1 + (total - needed) // step)
    spare = total - needed - (count - 1) * step
    begin = protocol.real_clip if side == "real" else protocol.generated_clip
    share = {"start": 0.0, "middle": 0.5, "random": _unit(protocol.seed, video.sha256)}[begin]
    first = math.floor(share * (spare + 1)) if begin == "random" else math.floor(share * spare)
    frames = range(first, first + count * step, step)
    own = times.is_own(protocol.fps)
    starts = [times.time_of(frame) if own else frame / rate for frame in frames]
    return [
        Clip(video, number, start, length, rate / stride, protocol.size)
        for number, start in enumerate(starts)
    ]


def _some(clips: list[Clip], protocol: Protocol) -> list[Clip]:
    """At most ``num_clips``, whatever else is in the folder and however files are called."""
    if protocol.num_clips is None or len(clips) <= protocol.num_clips:
        return clips
    order = sorted(clips, key=lambda clip: (_unit(protocol.seed, clip.key), clip.id))
    kept = {clip.id for clip in order[: protocol.num_clips]}
    return [clip for clip in clips if clip.id in kept]


def _unit(seed: int, text: str) -> float:
    """A number in [0, 1) that depends only on a seed and a text."""
    digest = hashlib.sha256(f"{seed} {text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
