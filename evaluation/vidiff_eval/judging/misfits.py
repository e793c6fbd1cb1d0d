"""Clips that a metric cannot measure, found before the work."""

from __future__ import annotations

from collections.abc import Iterator

from vidiff_eval.clips.clip import Sides
from vidiff_eval.clips.pairing import pair
from vidiff_eval.extraction.failing import one_line
from vidiff_eval.metrics.base import VideoMetric

NEEDS_REAL = "it compares with real videos: give their folder by "


def misfits(metric: VideoMetric, sides: Sides) -> Iterator[str]:
    """Yields why a metric that follows its protocol cannot measure clips; decodes none of them."""
    real = sides.real
    if metric.needs_real and real is None:
        yield f"{NEEDS_REAL}--real"
        return
    for group, clips in sides.generated.items():
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
            if real is not None and metric.paired:
                num_real = num_generated = len(pair(real, clips))
            metric.check_number(num_real, num_generated)
        except ValueError as error:
            yield f"of {group}: {one_line(error)}" if len(sides.generated) > 1 else one_line(error)
