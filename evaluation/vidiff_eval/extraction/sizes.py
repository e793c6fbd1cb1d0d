"""Whether clips can be measured together: one length, one size."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vidiff_eval.clips.choose import THREADS
from vidiff_eval.clips.clip import ClipSet
from vidiff_eval.clips.frame_folder import shown_size
from vidiff_eval.extraction.processes import all_or_none, gather, share


def check_sizes(sets: Sequence[ClipSet]) -> None:
    """Check that all clips have one length and one size; decodes one frame of a file at most.

    Of several processes, all have to call this; each looks at a share of the files.

    Raises:
        ValueError: if they do not; names two files and the option to set.
    """
    clips = [clip for some in sets for clip in some.clips]
    for clip in clips:
        if clip.num_frames != clips[0].num_frames:
            raise ValueError(
                f"clips differ in length: {clips[0].video.path} gives {clips[0].num_frames} "
                f"frames, {clip.video.path} {clip.num_frames}; set --protocol.num_frames "
                f"{min(clip.num_frames for clip in clips)} or less"
            )
    scales = {clip.video.path: clip.video.scale for clip in clips if clip.size is None}
    with all_or_none():
        mine = share([*scales])
        with ThreadPoolExecutor(THREADS) as pool:
            sizes = dict(zip(mine, pool.map(_size, mine), strict=True))
    everywhere = {path: size for found in gather(sizes) for path, size in found.items()}
    known = [
        (path, (size[0] // scale, size[1] // scale))
        for path, scale in scales.items()
        if (size := everywhere.get(path))
    ]
    for path, size in known:
        if size != known[0][1]:
            low, across = (min(sizes) for sizes in zip(*(size for _, size in known), strict=True))
            raise ValueError(
                f"videos differ in size: {known[0][0]} is {'x'.join(map(str, known[0][1]))}, "
                f"{path} {'x'.join(map(str, size))} (height x width); set --protocol.size "
                f"{low},{across}: each is then scaled to cover that, and its centre taken"
            )


def _size(path: Path) -> tuple[int, int] | None:
    """None for a damaged file, which is named when it is read."""
    from vidiff.video import VideoError

    try:
        return shown_size(path)
    except VideoError:
        return None
