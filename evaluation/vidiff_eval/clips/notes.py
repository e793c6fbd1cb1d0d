"""Notes on the files that are measured, for readers of the scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidiff_eval.clips.clip import Clip
    from vidiff_eval.clips.listing import VideoFile


def copies(files: Sequence[VideoFile]) -> Iterator[str]:
    """A note if files have the same content."""
    first: dict[str, VideoFile] = {}
    again = [file for file in files if first.setdefault(file.sha256, file) is not file]
    if again:
        other = first[again[0].sha256].file
        yield (
            f"{len(again)} files are copies of another ({again[0].file} of {other}): they count as "
            "further videos, which makes intervals too narrow; remove them"
        )


def remarks(clips: Sequence[Clip]) -> Iterator[str]:
    """A note on each kind of file that is read otherwise than players show it."""
    files = {clip.video.path: clip.video for clip in clips}.values()
    for kind in sorted({kind for file in files for kind in file.remarks}):
        some = [file for file in files if kind in file.remarks]
        more = f" and {len(some) - 1} more" if len(some) > 1 else ""
        yield f"{some[0].file}{more}: {some[0].remarks[kind]}"


def repeats(clips: Sequence[Clip]) -> Iterator[str]:
    """A note if files have fewer frames than is asked for, so that some are read twice."""
    from vidiff.video import repeated_share

    shares: dict[str, float] = {}
    total = 0.0
    for clip in clips:
        try:
            numbers = clip.video.times.numbers(clip.num_frames, clip.start, clip.fps)
        except ValueError:  # raised again when it is read
            continue
        if share := repeated_share(numbers):
            total += share / len(clips)
            shares[clip.video.file] = max(share, shares.get(clip.video.file, 0.0))
    if shares:
        counted = "1 file has" if len(shares) == 1 else f"{len(shares)} files have"
        worst = max(shares, key=lambda file: shares[file])
        yield (
            f"{total:.1%} of all frames repeat the one before, as {counted} "
            f"fewer frames per second than are read, or held ones (most in {worst}: "
            f"{shares[worst]:.0%}): set --protocol.fps to the lowest rate of the files, or null"
        )
