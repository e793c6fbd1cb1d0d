"""Frames of files of all containers, at all rates, against their numbers and ffmpeg's list."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from video_files import numbered_frame, read_numbers

from vidiff.video import VideoReader, write_video
from vidiff.video import scanning as scanning_module

MakeVideo = Callable[..., Path]
NUM_FRAMES = 30
RATES = ("7", "24000/1001", "30", "60000/1001", "120")


def remux(source: Path, target: Path, **options: str) -> Path:
    """Copy the packets of a file into another container, as ``ffmpeg -c copy`` does."""
    with av.open(source) as file, av.open(target, "w", options=options) as copy:
        stream = file.streams.video[0]
        out = copy.add_stream_from_template(stream)
        for packet in file.demux(stream):
            if packet.dts is not None or packet.pts is not None:
                packet.stream = out
                copy.mux(packet)
    return target


def check(path: Path, expected: list[int] | None = None) -> VideoReader:
    """Each frame comes once, in order, from wherever a clip begins."""
    expected = list(range(NUM_FRAMES)) if expected is None else expected
    if listed := listed_by_ffmpeg(path):
        assert listed == expected, "the file itself"
    with VideoReader(path) as reader:
        timeline = reader.timeline
        assert timeline.num_frames == len(expected)
        assert read_numbers(reader.clip(num_frames=len(expected))) == expected
        for first in (1, len(expected) // 2, len(expected) - 4):
            clip = reader.clip(num_frames=4, start=timeline.time_of(first))
            assert read_numbers(clip) == expected[first : first + 4], first
    return reader


def listed_by_ffmpeg(path: Path) -> list[int]:
    """The numbers of all frames as the ffmpeg program decodes them; empty without one."""
    if shutil.which("ffmpeg") is None:
        return []
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-threads", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(1, -1, 32, 96)
    return read_numbers(frames / 127.5 - 1)


@pytest.mark.parametrize("rate", RATES)
def test_remuxed_between_containers(tmp_path: Path, make_video: MakeVideo, rate: str) -> None:
    fps = float(Fraction(rate))
    times = [k / fps for k in range(NUM_FRAMES)]
    mkv = make_video(tmp_path / "a.mkv", times)  # ticks of 1 ms, B frames
    check(mkv)
    for name in ("b.mp4", "b.mov", "b.ts", "b.flv"):
        check(remux(mkv, tmp_path / name))
    for ticks in (600, 1000, 90_000, 1_000_000):
        options = {"video_track_timescale": str(ticks)}
        check(remux(mkv, tmp_path / f"{ticks}.mp4", **options))
    check(remux(tmp_path / "b.flv", tmp_path / "c.mkv"))


@pytest.mark.parametrize("fps", [8, 24, 30])
def test_gifs_of_three_writers(tmp_path: Path, make_video: MakeVideo, fps: int) -> None:
    pictures = [numbered_frame(k) for k in range(NUM_FRAMES)]
    pixels = torch.from_numpy(np.stack(pictures)).permute(3, 0, 1, 2) / 127.5 - 1
    write_video(tmp_path / "ours.gif", pixels, fps)
    images = [Image.fromarray(picture) for picture in pictures]
    images[0].save(
        tmp_path / "pil.gif", save_all=True, append_images=images[1:], duration=1000 // fps
    )
    times = [k / fps for k in range(NUM_FRAMES)]
    make_video(tmp_path / "av.gif", times, codec="gif", pix_fmt="rgb8", ticks=100)
    for name in ("ours.gif", "pil.gif", "av.gif"):
        assert check(tmp_path / name).fps == pytest.approx(fps, rel=0.12)
    if shutil.which("ffmpeg"):
        source = make_video(tmp_path / "a.mkv", times)
        graph = "split[a][b];[a]palettegen[p];[b][p]paletteuse"
        command = ["ffmpeg", "-v", "error", "-i", str(source), "-vf", graph]
        subprocess.run([*command, str(tmp_path / "palette.gif")], check=True)
        check(tmp_path / "palette.gif")


@pytest.mark.parametrize("ending", ["mkv", "mp4", "webm"])
def test_jittered_and_variable_times(tmp_path: Path, make_video: MakeVideo, ending: str) -> None:
    codec = "libvpx-vp9" if ending == "webm" else "libx264"
    generator = np.random.default_rng(0)
    jittered = (np.arange(NUM_FRAMES) + generator.uniform(0, 0.6, NUM_FRAMES)) / 30
    variable = np.cumsum(generator.choice([1, 1, 1, 2, 6], NUM_FRAMES)) / 30
    for times in (jittered, variable):
        path = make_video(tmp_path / f"a.{ending}", (times - times[0]).tolist(), codec=codec)
        check(path)


def test_avi_with_reordered_frames(tmp_path: Path, make_video: MakeVideo) -> None:
    """Its first frame has time 1, as avi only knows when frames are decoded."""
    path = tmp_path / "a.avi"
    for codec in ("mpeg4", "libx264"):
        with av.open(path, "w") as file:
            stream = file.add_stream(codec, rate=25, options={"bf": "2", "g": "9"})
            stream.height, stream.width, stream.pix_fmt = 32, 96, "yuv420p"
            stream.codec_context.max_b_frames = 2
            for number in range(NUM_FRAMES):
                frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
                file.mux(stream.encode(frame.reformat(format="yuv420p")))
            file.mux(stream.encode())
        reader = check(path)
        assert (reader.fps, reader.duration) == (25, NUM_FRAMES / 25)


@pytest.mark.parametrize("name", ["a.flv", "a.h264", "a.m4v", "a.ts"])
def test_headers_without_duration(tmp_path: Path, make_video: MakeVideo, name: str) -> None:
    codec = "mpeg4" if name == "a.m4v" else "libx264"
    times = [k / 25 for k in range(NUM_FRAMES)]
    check(make_video(tmp_path / name, times, codec=codec, ticks=25))


def test_a_transport_stream_that_begins_within_a_group(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    whole = make_video(
        tmp_path / "a.ts", [k / 25 for k in range(NUM_FRAMES)], codec="mpeg2video", ticks=25
    )
    data = whole.read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(data[len(data) // 3 // 188 * 188 :])
    check(cut, expected=list(range(12, NUM_FRAMES)))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_large_files_are_not_read_through(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Even ones give the same frames, uneven ones are read to their end."""
    read = []
    add = scanning_module._Packets._add
    monkeypatch.setattr(
        scanning_module._Packets, "_add", lambda self, packet: (read.append(1), add(self, packet))
    )
    monkeypatch.setattr(scanning_module, "READ_THROUGH", 4000)
    monkeypatch.setattr(scanning_module, "_REORDERED", 8)
    monkeypatch.setattr(scanning_module, "_TAIL", 0.2)
    count = 200
    even = make_video(tmp_path / name, [k / 25 for k in range(count)], ticks=1000)
    with VideoReader(even) as reader:
        assert reader.timeline.num_frames == count
        assert len(read) < count
        for first in (0, 60, count - 4):
            clip = reader.clip(num_frames=4, start=first / 25)
            assert read_numbers(clip) == [first, first + 1, first + 2, first + 3]
    uneven = make_video(tmp_path / f"uneven_{name}", [(k + k % 3 / 4) / 25 for k in range(count)])
    check(uneven, expected=list(range(count)))


def test_vp8_packets_without_a_picture(tmp_path: Path, make_video: MakeVideo) -> None:
    path = tmp_path / "a.webm"
    with av.open(path, "w") as file:
        options = {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "100000"}
        stream = file.add_stream("libvpx", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 32, 96, "yuv420p"
        for number in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            file.mux(stream.encode(frame.reformat(format="yuv420p")))
        file.mux(stream.encode())
    check(path)
