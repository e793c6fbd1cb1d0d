"""What cannot be measured: found before the work where it can be, and else left out by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from vidiff_eval.clips.clip import ClipSet
from vidiff_eval.clips.pairing import pair
from vidiff_eval.metrics.base import VideoMetric

Reasons = dict[str, str]
"""By what was not measured, in words, the reason in one line."""


def misfits(
    metric: VideoMetric, generated: Mapping[str, ClipSet], real: ClipSet | None
) -> Iterator[str]:
    """Yields why a metric cannot measure these clips, as far as that shows without decoding them.

    Args:
        metric: set up, with its protocol.
        generated: groups of clips by name.
        real: what they are compared with, if there is something.
    """
    if metric.needs_real and real is None:
        yield "it compares with real videos: give their folder by --real"
        return
    for group, clips in generated.items():
        bare = [clip for clip in clips.clips if not clip.video.prompt]
        if metric.needs_prompts and bare:
            yield (
                f"it judges videos by their prompts, and {bare[0].video.path} has none: "
                "give --prompts, or captions.csv in the folder"
            )
            continue
        try:
            metric.check(clips.clips)
            num_real, num_generated = len(real or ()), len(clips)
            if real and metric.paired:
                num_real = num_generated = len(pair(real, clips))
            metric.check_number(num_real, num_generated)
        except ValueError as error:
            yield f"of {group}: {one_line(error)}" if len(generated) > 1 else one_line(error)


@contextmanager
def noting(reasons: Reasons | None, what: str) -> Iterator[None]:
    """Go on after an error, with its reason noted: no part of a report costs the others.

    Somebody's metric may raise anything. Without ``reasons`` it is raised.
    """
    try:
        yield
    except Exception as error:
        if reasons is None:
            raise
        reasons[what] = one_line(error)


def one_line(error: Exception) -> str:
    """An error in one line, with its kind unless it was meant for a user."""
    words = " ".join(str(error).split())
    return words if isinstance(error, ValueError) and words else f"{type(error).__name__}: {words}"
