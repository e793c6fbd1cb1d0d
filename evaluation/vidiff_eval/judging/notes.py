"""What a reader of scores should know of the files that were measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidiff_eval.clips.clip import Clip


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
        except ValueError:  # who reads it will say so
            continue
        if share := repeated_share(numbers):
            total += share / len(clips)
            shares[clip.video.file] = max(share, shares.get(clip.video.file, 0.0))
    if shares:
        worst = max(shares, key=lambda file: shares[file])
        yield (
            f"{total:.1%} of all frames repeat the one before, as {_counted(len(shares))} "
            f"fewer frames per second than are read, or held ones (most in {worst}: "
            f"{shares[worst]:.0%}): set --protocol.fps to the lowest rate of the files, or null"
        )


def _counted(number: int) -> str:
    return "1 file has" if number == 1 else f"{number} files have"
