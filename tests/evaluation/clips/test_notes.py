"""What evaluation says of files with repeated frames, other rates, HDR and fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from video_files import read_numbers

from vidiff.evaluation_report import Group, ProtocolInfo, Report
from vidiff.video import Timeline
from vidiff_eval.clips.choose import choose_clips
from vidiff_eval.clips.clip import Clip
from vidiff_eval.clips.listing import VideoFile
from vidiff_eval.clips.notes import remarks, repeats
from vidiff_eval.judging.cautions import cautions
from vidiff_eval.protocols.protocol import Protocol

START = Protocol(num_frames=8, real_clip="start", generated_clip="start")


def clip(fps: float, timeline: Timeline, **settings: object) -> Clip:
    video = VideoFile(Path("."), f"{timeline.fps:g}.mp4", timeline=timeline, **settings)
    return Clip(video, 0, 0.0, 10, fps)


def test_shares_of_repeated_frames() -> None:
    even = Timeline.even(100, 10.0)
    assert list(repeats([clip(10, even), clip(5, even)])) == []
    (said,) = repeats([clip(20, even), clip(10, even)])
    assert said.startswith("25.0% of all frames repeat the one before, as 1 file has fewer")
    assert "most in 10.mp4: 50%" in said
    assert "set --protocol.fps" in said


def test_remarks_are_made_once_a_kind() -> None:
    even = Timeline.even(100, 10.0)
    some = [clip(10, even, remarks={"hdr": "flat"}), clip(10, even, remarks={"hdr": "flat"})]
    assert list(remarks([*some, clip(12, Timeline.even(100, 12.0))])) == ["10.mp4: flat"]


def test_a_file_that_holds_frames(
    tmp_path: Path, make_video: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    times = [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]
    make_video(tmp_path / "a.mkv", [k / 8 for k in times])
    clips = choose_clips(tmp_path, START, side="real")
    assert read_numbers(clips.clips[0].read().numpy()) == list(range(8))
    assert not clips.notes
    at_eight = choose_clips(tmp_path, START.change(fps=8.0), side="real")
    assert read_numbers(at_eight.clips[0].read().numpy()) == [0, 1, 2, 2, 2, 3, 4, 5]
    assert "25.0% of all frames repeat the one before" in at_eight.notes[0]
    assert "25.0% of all frames" in caplog.text


def test_clips_of_one_uneven_file_follow_each_other(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    times = [k / 30 if k < 20 else (20 + 7 * (k - 20)) / 30 for k in range(32)]
    make_video(tmp_path / "a.mkv", times)
    clips = choose_clips(tmp_path, START.change(clips_per_video=4), side="real").clips
    shown = [number for clip in clips for number in read_numbers(clip.read().numpy())]
    assert shown == list(range(32))
    assert [clip.first for clip in clips] == [0, 8, 16, 24]


def test_rates_that_differ_are_said_first() -> None:
    mine = Group(300, fps=[24.0, 25.0])
    report = Report({"mine": mine}, {}, ProtocolInfo("start"), real=Group(300, fps=[10.0]))
    (said,) = cautions(report, START)
    assert said.startswith("clips differ in frames per second (mine 24 to 25, real 10)")
    assert "--protocol.fps 10" in said
    mine.fps = [10.1]
    assert cautions(report, START) == []
