"""What a user should know of a folder of videos, said once at the start."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from vidiff.folders import EXTENSIONS, Contents, group_by_stem
from vidiff.formatting import listed


def of_files(contents: Contents) -> Iterator[str]:
    """On images that nobody reads, and on videos that have several files."""
    if contents.videos and (images := contents.unread_images()):
        yield f"{images} are not read: only video files are"
    pairs = [[*others, path] for path, others in group_by_stem(contents.videos).items()]
    if alike := [pair for pair in pairs if len(pair) > 1]:
        yield (
            f"{len(alike)} videos have several files ({', '.join(alike[0])}), and all are used, in "
            "either split; if they show the same, keep one of each"
        )


def of_captions(root: Path, table: Collection[str], files: Collection[str]) -> Iterator[str]:
    """On captions of files that are not there; all paths as ``file_key`` writes them."""
    absent = sorted(path for path in table if path not in files)
    if absent and files and len(absent) == len(table):
        yield (
            f"the captions are of other files: none of {len(table)} rows names one that is there. "
            f"The first row has {absent[0]!r}, the first file is {min(files)!r}: paths are "
            f"relative to {root}, with their endings"
        )
    elif absent:
        yield f"captions name {len(absent)} files that are not there: {listed(absent, 10)}"


def of_no_video(contents: Contents) -> str:
    """What there is in a folder without a video file, and what to do."""
    step = ""
    if contents.images:
        _, name, pattern = contents.frame_names()
        step = (
            "; frames have to be made files, each video one, as by `ffmpeg -framerate 25 "
            f"-i {pattern} {name or 'video'}.mp4`"
        )
    return (
        f"no video file under {contents.root}: {contents.describe()} "
        f"(searched: {' '.join(EXTENSIONS)}){step}"
    )
