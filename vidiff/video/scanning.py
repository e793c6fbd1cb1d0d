"""The timeline of a file, from its packets; decodes nothing.

Headers are often wrong or silent about the duration (streamed files), the rate (recordings of
phones and screens) and the time of the first frame. Packets have the time of each frame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vidiff.video.timing import JITTER, USUAL_RATE, Timeline

READ_THROUGH = 64 * 2**20
"""Bytes of frames after which an even file is taken to continue as its header promises."""

_TAIL = 2.0  # seconds before the end that a file promises, from where its last frame is looked for
_REORDERED = 32  # packets at the end of a part of which some frames may be missing


@dataclass(frozen=True)
class Scan:
    """The timeline of a file by its packets."""

    timeline: Timeline
    origin: int  # time stamp of the first frame, in ticks
    has_times: bool  # whether frames are known by their time stamps; else they are counted
    ticks: np.ndarray | None = None  # time stamps of all frames, rising, where all were read

    def knows(self, tick: int) -> bool:
        """Whether a time stamp can be believed: after a seek some containers interpolate them."""
        if self.ticks is None or not self.has_times:
            return self.has_times
        place = np.searchsorted(self.ticks, tick)
        return bool(place < len(self.ticks) and self.ticks[place] == tick)


@dataclass
class _Packets:
    """Packets that give a frame, in the order of decoding."""

    times: list[int | None] = field(default_factory=list)  # in ticks
    lengths: list[int] = field(default_factory=list)
    count: int = 0  # with those that give no frame
    size: int = 0  # in bytes
    is_whole: bool = True  # whether the file has no more
    has_begun: bool = False  # whether there was a keyframe
    begins: int | None = None  # its time: nothing before it can be decoded

    def read(self, source: Iterator[Packet], budget: int = 0) -> None:
        """Add packets to the end, or until there are ``budget`` bytes, if it is not 0."""
        self.is_whole = True
        try:
            for packet in source:
                self._add(packet)
                if budget and self.size > budget:
                    self.is_whole = False
                    return
        except (av.FFmpegError, OSError):  # a damaged file has what comes before
            pass

    def _add(self, packet: Packet) -> None:
        self.count += packet.size > 0 or packet.dts is not None  # the last one is empty
        self.size += packet.size
        if not self.has_begun and packet.is_keyframe:
            self.has_begun, self.begins = True, packet.pts
        if self.has_begun and _gives_frame(packet):
            self.times.append(packet.pts)
            self.lengths.append(packet.duration or 0)

    @property
    def ticks(self) -> np.ndarray | None:
        """The times in the order of showing, if all are known and different."""
        begins = -(2**63) if self.begins is None else self.begins
        known = [time for time in self.times if time is not None and time >= begins]
        if None in self.times or len(set(known)) < len(known):
            return None
        return np.sort(np.array(known, np.int64))


def scan(container: InputContainer, stream: VideoStream) -> Scan | None:
    """Read the packets of a stream, the container standing at its beginning; None if it has none.

    A large file is read until it is clear that its frames come evenly, then at its end.
    """
    rate = float(stream.guessed_rate or stream.average_rate or 0)
    average = float(stream.average_rate or rate or USUAL_RATE)
    promises = stream.average_rate and (stream.duration or container.duration)
    source, packets = container.demux(stream), _Packets()
    packets.read(source, READ_THROUGH if promises else 0)
    if not packets.is_whole:
        if _are_even(packets, stream, average):
            return _of_large(container, stream, packets, average)
        packets.read(source)
    if not packets.times:
        return None
    ticks, tick = packets.ticks, float(stream.time_base or 0)
    origin = min((time for time in packets.times if time is not None), default=0)
    # Frames that the file's index lists, if it is whole.
    listed = len(getattr(stream, "index_entries", ())) if stream.frames else 0
    if listed > packets.count:  # the file is cut off
        return Scan(Timeline.even(listed, average), origin, has_times=True)
    if ticks is None or not tick or _are_made_up(container, stream, packets):
        timeline = Timeline.even(len(packets.times), rate or USUAL_RATE)
        return Scan(timeline, origin, has_times=False)
    last = packets.lengths[packets.times.index(ticks[-1])] * tick
    timeline = Timeline.of((ticks - ticks[0]) * tick, last, rate)
    return Scan(timeline, int(ticks[0]), has_times=True, ticks=ticks)


def _gives_frame(packet: Packet) -> bool:
    if not packet.size or packet.is_discard:
        return False
    # VP8 has packets with frames that are only referred to (RFC 6386, section 9.1).
    return packet.stream.codec_context.name != "vp8" or bool(memoryview(packet)[0] & 0x10)


def _are_made_up(container: InputContainer, stream: VideoStream, packets: _Packets) -> bool:
    """Whether times are those of decoding, as avi has no others, though frames are reordered."""
    known = [time or 0 for time in packets.times]
    reorders = bool(stream.codec_context.has_b_frames)
    return container.format.name == "avi" and reorders and known == sorted(known)


def _are_even(packets: _Packets, stream: VideoStream, rate: float) -> bool:
    """Whether the first packets of a file come as evenly as its header promises."""
    tick, ticks = float(stream.time_base or 0), packets.ticks
    if ticks is None or len(ticks) <= _REORDERED:
        return False
    times = (ticks[:-_REORDERED] - ticks[0]) * tick
    return bool(np.abs(times * rate - np.arange(len(times))).max() < JITTER)


def _of_large(
    container: InputContainer, stream: VideoStream, packets: _Packets, rate: float
) -> Scan:
    """The scan of a file that is even so far, from its last packets."""
    tick, ticks = float(stream.time_base or 0), packets.ticks
    assert ticks is not None, "only such packets are even"
    promised = (stream.duration or 0) * tick or (container.duration or 0) / 1e6
    end = int(ticks[0]) + int((promised - 1 / rate) / tick)
    last = _Packets()
    with contextlib.suppress(av.FFmpegError, OSError):
        container.seek(end - int(_TAIL / tick), stream=stream, backward=True)
        last.read(container.demux(stream))
        end = max((time for time in last.times if time is not None), default=end)
    timeline = Timeline.even(round((end - int(ticks[0])) * tick * rate) + 1, rate)
    return Scan(timeline, int(ticks[0]), has_times=True)
