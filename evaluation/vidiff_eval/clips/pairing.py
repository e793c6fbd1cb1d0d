"""Pairs: each generated clip with the real clip of the same name."""

from __future__ import annotations

from pathlib import PurePosixPath

from vidiff.folders import EXTENSIONS
from vidiff_eval.clips.clip import Clip, ClipSet

Pair = tuple[Clip, Clip]
"""A generated clip, and the real one of its name."""


def pair(real: ClipSet, generated: ClipSet) -> list[Pair]:
    """Each generated clip with the real one: files of one path within their folders.

    Endings of names do not count, so ``a/b.mp4`` belongs to ``a/b.gif``. A clip whose partner's
    file was left out as damaged is left out too.

    Returns:
        Pairs in the order of the generated clips.

    Raises:
        ValueError: if a clip has no partner, two have one name, or the clips of a pair differ in
            length or in the frame they begin at; names the files.
    """
    ours, theirs = _named(generated), _named(real)
    left_out = {stem(file) for file in (*real.skipped, *generated.skipped)}
    for some, others, whole in ((ours, theirs, real), (theirs, ours, generated)):
        alone = [c for key, c in some.items() if key not in others and key[0] not in left_out]
        if alone:
            raise ValueError(
                f"{alone[0].video.path} has no partner in {whole.folder} ({len(alone)} such): "
                "metrics of pairs compare files of the same name; name them alike, set "
                "--protocol.num_clips null, or leave these metrics out of --metrics"
            )
    pairs = [(clip, theirs[key]) for key, clip in ours.items() if key in theirs]
    for one, other in pairs:
        _check(one, other)
    return pairs


def _check(generated: Clip, real: Clip) -> None:
    # In frames, as files of the same frames may say another rate.
    begins = [clip.first for clip in (generated, real)]
    if abs(begins[0] - begins[1]) > 0.01:
        raise ValueError(
            f"the clips of {generated.video.path} and {real.video.path} begin at different frames: "
            "set --protocol.real_clip start --protocol.generated_clip start"
        )
    if generated.num_frames != real.num_frames:
        raise ValueError(
            f"{generated.video.path} gives {generated.num_frames} frames, {real.video.path} "
            f"{real.num_frames}: set --protocol.num_frames"
        )


def _named(clips: ClipSet) -> dict[tuple[str, int], Clip]:
    named: dict[tuple[str, int], Clip] = {}
    for clip in clips.clips:
        other = named.setdefault((stem(clip.video.file), clip.number), clip)
        if other is not clip:
            raise ValueError(
                f"{other.video.path} and {clip.video.path} differ in nothing but the ending: "
                "metrics of pairs cannot tell whose partner is whose; keep one"
            )
    return named


def stem(file: str) -> str:
    """A video's path within its folder, without the ending."""
    path = PurePosixPath(file)
    return str(path.with_suffix("")) if path.suffix.lower() in EXTENSIONS else file
