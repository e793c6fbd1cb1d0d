"""Which frames of a file make up a clip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

READING = 2  # goes up when a clip is read to other pixels than before: what is kept is then stale
NEAR = 0.02  # rates that differ by less are one rate: each frame comes once, in order
EARLY = 0.1  # share of its length by which a frame may come early: files round times
JITTER = 0.4  # frames nearer to k / fps than this, in frames, are taken to be shown then
USUAL_RATE = 25.0  # frames per second of files that do not say


@dataclass(frozen=True)
class Timeline:
    """When the frames of a file are shown; at k / fps, within ``JITTER``, if it has no times."""

    num_frames: int
    fps: float  # frames per second, on average
    duration: float  # seconds from the first frame to the end of the last
    times: np.ndarray | None = None  # seconds from the first frame to each, (num_frames,)

    @classmethod
    def even(cls, num_frames: int, fps: float) -> Timeline:
        """A file of constant frame rate."""
        return cls(num_frames, fps, num_frames / fps)

    @classmethod
    def of(cls, times: np.ndarray, last: float = 0.0, nominal: float = 0.0) -> Timeline:
        """The timeline of frames that are shown at ``times``, in seconds from the first, rising.

        ``last`` is how long the last frame is shown, 0 if unknown; ``nominal`` the rate that the
        file claims, 0 if none, which is used where it fits the times.
        """
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / (nominal or USUAL_RATE)
        duration = float(times[-1]) + (last if last > step / 2 else step)
        fps = len(times) / duration
        if nominal and abs(nominal * duration - len(times)) < 0.5:
            fps = nominal
        offsets = times * fps - np.arange(len(times))
        return cls(len(times), fps, duration, times if np.abs(offsets).max() > JITTER else None)

    @cached_property
    def _times(self) -> np.ndarray:
        return np.arange(self.num_frames) / self.fps if self.times is None else self.times

    @cached_property
    def _earliest(self) -> np.ndarray:
        """From when on each frame may be chosen; rises, as no neighbour is overtaken."""
        lengths = np.diff(self._times, append=self.duration)
        before = np.concatenate([lengths[:1], lengths[:-1]])
        return self._times - EARLY * np.minimum(lengths, before)

    def is_own(self, fps: float | None) -> bool:
        """Whether ``fps`` is the file's own rate (None is) or near it."""
        return fps is None or abs(fps / self.fps - 1) < NEAR

    def count(self, fps: float | None = None) -> int:
        """How many frames the whole file gives at a rate."""
        return self.num_frames if self.is_own(fps) else max(1, round(self.duration * (fps or 1)))

    def time_of(self, number: int) -> float:
        """Seconds from the first frame to frame ``number``."""
        return number / self.fps if self.times is None else float(self.times[number])

    def number_at(self, seconds: float) -> int:
        """The frame that is nearest to a time."""
        if self.times is None:
            return min(max(0, round(seconds * self.fps)), self.num_frames - 1)
        after = int(np.searchsorted(self.times, seconds))
        around = [k for k in (after - 1, after) if 0 <= k < self.num_frames]
        return min(around, key=lambda k: abs(float(self.times[k]) - seconds))  # type: ignore[index]

    def numbers(self, num_frames: int, start: float = 0.0, fps: float | None = None) -> np.ndarray:
        """The frames of a clip, by their numbers in the file: (num_frames,), rising.

        At the file's own rate they follow each other, from the one nearest to ``start`` on. At
        another rate the k-th is the one that is shown at ``start + k / fps``; a frame may come
        early by a share of its length, see ``EARLY``. A ``ValueError`` if the file ends before.
        """
        own = self.is_own(fps)
        wanted = start + np.arange(num_frames) / (self.fps if own else fps or self.fps)
        if own and start < self.duration:
            first = self.number_at(start)
            # Where frames differ in length, the last ones may be fewer than their time suggests.
            if first + num_frames > self.num_frames and wanted[-1] < self.duration - 1e-6:
                first = self.num_frames - num_frames
            if 0 <= first <= self.num_frames - num_frames:
                return first + np.arange(num_frames)
        elif not own and wanted[-1] < self.duration + EARLY / self.fps:
            numbers = np.searchsorted(self._earliest, wanted + 1e-6, side="right") - 1
            return np.maximum(numbers, 0)
        raise ValueError(
            f"its frames end at {self.duration:.2f} s, the clip asks for {wanted[-1]:.2f} s"
        )


def repeated_share(numbers: np.ndarray) -> float:
    """The share of frames of a clip that show the same as the one before."""
    return float((np.diff(numbers) == 0).sum() / max(1, len(numbers)))
