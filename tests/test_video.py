"""Reading and writing of video files."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from video_files import read_numbers

from vidiff.video import (
    VideoError,
    VideoReader,
    contact_sheet,
    probe,
    read_clip,
    sheet_row,
    write_frames,
    write_video,
    writing,
)


def regular(count: int, fps: float = 10.0) -> list[float]:
    return [k / fps for k in range(count)]


@pytest.fixture
def count_decoded(monkeypatch):
    """The number of frames decoded so far."""
    count = [0]
    decode = VideoReader._decode

    def counting(self, step):
        for item in decode(self, step):
            count[0] += 1
            yield item

    monkeypatch.setattr(VideoReader, "_decode", counting)
    return count


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "libx264", "yuv422p10le"),
        ("a.mkv", "libx264", "yuv444p"),
        ("a.mkv", "ffv1", "bgra"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.gif", "gif", "rgb8"),
        ("a.ts", "mpeg2video", "yuv420p"),
    ],
)
def test_reads_the_frames_of_every_container(tmp_path, make_video, name, codec, pix_fmt):
    fps = 25 if codec == "mpeg2video" else 10
    ticks = fps if name in ("a.avi", "a.ts") else 1000
    path = make_video(tmp_path / name, regular(30, fps), codec=codec, pix_fmt=pix_fmt, ticks=ticks)
    info = probe(path)
    assert info.fps == pytest.approx(fps, rel=0.02)
    assert info.duration == pytest.approx(30 / fps, abs=1.5 / fps)
    assert (info.height, info.width, info.rotation) == (32, 96, 0)
    clip = read_clip(path, start=11 / fps, num_frames=6)
    assert clip.shape == (3, 6, 32, 96)
    assert clip.dtype == torch.float32
    assert clip.min() >= -1
    assert clip.max() <= 1
    assert read_numbers(clip) == [11, 12, 13, 14, 15, 16]


def test_variable_frame_rate_follows_the_time_stamps(tmp_path, make_video):
    times = [0.0, 0.1, 0.15, 0.2, 0.9, 1.0, 1.8, 1.82, 2.4]
    path = make_video(tmp_path / "vfr.mkv", times)
    wanted = [k / 8 for k in range(19)]
    expected = [max(k for k, time in enumerate(times) if time <= t + 1e-6) for t in wanted]
    assert read_numbers(read_clip(path, num_frames=19, fps=8)) == expected
    assert read_numbers(read_clip(path, start=0.875, num_frames=4, fps=8)) == expected[7:11]


def test_own_rate_gives_each_frame_once_though_the_container_rounds_times(tmp_path, make_video):
    path = make_video(tmp_path / "thirds.mkv", regular(40, 30))  # ticks of 1 ms
    assert read_numbers(read_clip(path, num_frames=40, fps=30)) == list(range(40))


def test_changes_the_rate(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", regular(20))
    assert read_numbers(read_clip(path, num_frames=5, fps=5)) == [0, 2, 4, 6, 8]
    assert read_numbers(read_clip(path, num_frames=5, fps=20)) == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_honoured(tmp_path, make_video, degrees):
    picture = np.zeros((32, 96, 3), np.uint8)
    picture[:16, :48] = 255  # upper left
    path = make_video(tmp_path / "turned.mp4", regular(3), rotation=degrees, frames=[picture] * 3)
    info = probe(path)
    assert info.rotation == degrees
    assert (info.height, info.width) == ((32, 96) if degrees == 180 else (96, 32))
    shown = read_clip(path, num_frames=1)[0, 0].numpy() > 0
    expected = np.rot90(picture[..., 0] > 0, degrees // 90)
    assert (shown == expected).mean() > 0.97
    # Scaling and cropping happen in the picture as shown.
    tall = read_clip(path, num_frames=1, size=(24, 8) if degrees != 180 else (8, 24))
    assert (tall[0, 0].numpy() > 0).mean() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("name", ["rot90.mov", "ten_bit.mp4"])
def test_agrees_with_the_ffmpeg_program(shared_videos, name):
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg program: apt-get install ffmpeg")
    path = shared_videos / "bad" / name
    clip = read_clip(path, num_frames=2)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-frames:v", "2", "-f", "rawvideo"]
    raw = subprocess.run(
        [*command, "-sws_flags", "bicubic+accurate_rnd+full_chroma_int", "-pix_fmt", "rgb24", "-"],
        check=True,
        capture_output=True,
    ).stdout
    expected = torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(2, *clip.shape[2:], 3)
    difference = (clip.add(1).mul(127.5) - expected.permute(3, 0, 1, 2)).abs()
    assert difference.median() <= 1
    assert difference.mean() < 4  # edges of colour, which the two smooth differently


def test_pixel_aspect_is_honoured(tmp_path, shared_videos):
    with VideoReader(shared_videos / "clips" / "carphone.mp4") as reader:
        stored = (reader.stream.height, reader.stream.width)
        aspect = float(reader.stream.sample_aspect_ratio)
    info = probe(shared_videos / "clips" / "carphone.mp4")
    assert aspect != 1
    assert (info.height, info.width) == (stored[0], round(stored[1] * aspect))


def test_transparent_pixels_are_black(tmp_path):
    path = tmp_path / "a.mkv"
    picture = np.full((16, 16, 4), 255, np.uint8)
    picture[:8, :, 3] = 0
    with av.open(path, "w") as file:
        stream = file.add_stream("ffv1", rate=5)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "bgra"
        frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format="bgra")
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    clip = read_clip(path, num_frames=1)
    assert (clip[:, :, :8] == -1).all()
    assert (clip[:, :, 8:] == 1).all()


def test_odd_sizes_scale_and_crop(tmp_path, make_video):
    path = make_video(
        tmp_path / "odd.mkv", regular(2), height=31, width=53, codec="ffv1", pix_fmt="bgr0"
    )
    assert read_clip(path, num_frames=1).shape == (3, 1, 31, 53)
    for size in [(7, 5), (5, 7), (64, 64), (31, 53), (33, 9)]:
        assert read_clip(path, num_frames=1, size=size).shape == (3, 1, *size)


def test_crop_keeps_the_side_asked_for(tmp_path, make_video):
    ramp = np.broadcast_to(np.linspace(0, 255, 96)[None, :, None], (32, 96, 3)).astype(np.uint8)
    path = make_video(tmp_path / "ramp.mkv", [0.0], frames=[ramp], codec="ffv1", pix_fmt="bgr0")
    left, centre, right = (
        read_clip(path, num_frames=1, size=(32, 32), crop=(0.5, side)).add(1).mul(127.5)[0, 0, 0]
        for side in (0.0, 0.5, 1.0)
    )
    levels = torch.linspace(0, 255, 96)
    assert (left - levels[:32]).abs().max() < 1.5
    assert (centre - levels[32:64]).abs().max() < 1.5
    assert (right - levels[64:]).abs().max() < 1.5


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv", "long.avi", "long.ts"])
def test_a_clip_at_the_end_costs_what_one_at_the_start_does(
    tmp_path, make_video, count_decoded, name
):
    codec = {"long.avi": "mpeg4", "long.ts": "mpeg2video"}.get(name, "libx264")
    ticks = 25 if codec != "libx264" else 1000
    path = make_video(
        tmp_path / name, regular(2500, 25), codec=codec, keyframe_every=25, ticks=ticks
    )
    assert read_numbers(read_clip(path, num_frames=8, fps=25)) == list(range(8))
    at_start, count_decoded[0] = count_decoded[0], 0
    number = 2480 if name != "long.ts" else 2450
    assert read_numbers(read_clip(path, start=number / 25, num_frames=8, fps=25)) == list(
        range(number, number + 8)
    )
    # Up to a keyframe's distance before, twice where a seek lands late.
    allowed = at_start + 25 + (6 * 25 if name == "long.ts" else 0)
    assert count_decoded[0] <= allowed
    assert allowed < 2500 / 10


def test_falls_back_to_the_start_where_seeking_fails(tmp_path, make_video, monkeypatch):
    path = make_video(tmp_path / "a.mp4", regular(60))
    monkeypatch.setattr(VideoReader, "_seek", lambda self, seconds: False)
    assert read_numbers(read_clip(path, start=4, num_frames=3)) == [40, 41, 42]


def test_falls_back_where_a_seek_lands_late(tmp_path, make_video, monkeypatch):
    path = make_video(tmp_path / "a.mp4", regular(200), keyframe_every=10)
    seek = VideoReader._seek
    monkeypatch.setattr(VideoReader, "_seek", lambda self, seconds: seek(self, seconds + 8))
    assert read_numbers(read_clip(path, start=4.2, num_frames=3)) == [42, 43, 44]


def test_one_reader_gives_many_clips(tmp_path, make_video):
    with VideoReader(make_video(tmp_path / "a.mp4", regular(50))) as reader:
        for start in (30, 2, 45, 0):
            clip = reader.clip(start=start / 10, num_frames=3)
            assert read_numbers(clip) == [start, start + 1, start + 2]


def test_a_header_without_duration_or_rate_is_measured(tmp_path, make_video):
    path = make_video(tmp_path / "a.mkv", regular(40))
    with VideoReader(path) as reader:
        assert reader.stream.duration is None
        assert reader.duration == pytest.approx(4.0, abs=0.02)
    live = tmp_path / "live.webm"  # as browsers record: neither duration nor index
    with av.open(live, "w", options={"live": "1"}) as file:
        stream = file.add_stream("libvpx-vp9", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 96, "yuv420p"
        for picture in range(30):
            array = np.full((32, 96, 3), picture, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        file.mux(stream.encode())
    with VideoReader(live) as reader:
        assert reader.duration == pytest.approx(3.0, abs=0.11)
        assert reader.clip(start=2, num_frames=4).shape[1] == 4


def test_beyond_the_end_is_an_error_with_numbers(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", regular(20))
    with pytest.raises(VideoError, match=r"frames end at 2\.\d+ s.* asks for 2\.\d+ s") as caught:
        read_clip(path, start=1.5, num_frames=12)
    assert caught.value.path == path
    with pytest.raises(ValueError, match="num_frames >= 1"):
        read_clip(path, num_frames=0)


def test_a_cut_off_file_is_an_error_only_where_it_is_cut(tmp_path, make_video):
    whole = make_video(tmp_path / "a.mp4", regular(100), movflags="+faststart")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert read_numbers(read_clip(cut, num_frames=5)) == [0, 1, 2, 3, 4]
    with pytest.raises(VideoError, match=r"cut\.mp4: .*(damaged|frames end)"):
        read_clip(cut, start=9, num_frames=5)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"not a video", "not a readable video"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "not a readable video"),
        (b"#EXTM3U\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n", "not a readable video"),
    ],
)
def test_unreadable_files_say_why(tmp_path, make_video, content, reason):
    make_video(tmp_path / "other.mp4", regular(5))
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=rf"bad\.mp4: {reason}.*; copy it again"):
        probe(path)
    with pytest.raises(VideoError, match="no such file"):
        probe(tmp_path / "absent.mp4")


def test_random_damage_gives_a_clip_or_a_video_error(tmp_path, make_video):
    generator = np.random.default_rng(0)
    for name, codec in [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.gif", "gif")]:
        pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        whole = make_video(tmp_path / name, regular(20), codec=codec, pix_fmt=pix_fmt)
        data = np.frombuffer(whole.read_bytes(), np.uint8)
        readable = 0
        for _ in range(25):
            damaged = data.copy()
            places = generator.integers(len(data), size=generator.integers(1, 40))
            damaged[places] = generator.integers(256, size=len(places))
            whole.write_bytes(damaged.tobytes()[: generator.integers(len(data) // 2, len(data))])
            try:
                clip = read_clip(whole, start=0.5, num_frames=4, fps=10, size=(16, 16))
            except VideoError:
                continue
            readable += 1
            assert clip.shape == (3, 4, 16, 16)
        assert readable < 25


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(path, "w") as file:
        stream = file.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with pytest.raises(VideoError, match="no video that can be decoded"):
        probe(path)


def test_real_files(shared_videos):
    for path in sorted((shared_videos / "clips").iterdir()):
        if path.suffix == ".csv":
            continue
        info = probe(path)
        start = info.duration - 9 / info.fps
        clip = read_clip(path, start=start, num_frames=9, size=(32, 32))
        assert clip.shape == (3, 9, 32, 32), path
        assert clip.std() > 0.05, path


def test_bad_real_files(shared_videos):
    bad = shared_videos / "bad"
    for name in ("empty.mp4", "text.mp4", "truncated.mp4"):
        with pytest.raises(VideoError, match=name):
            probe(bad / name)
    assert read_clip(bad / "corrupted.mp4", num_frames=9, size=(32, 32)).shape[1] == 9
    with pytest.raises(VideoError, match="damaged after"):
        read_clip(bad / "corrupted.mp4", start=2.5, num_frames=9, size=(32, 32))


def test_video_errors_travel_between_processes(tmp_path):
    import pickle

    error = VideoError(tmp_path / "a.mp4", "it is bad", "remove it")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.reason, copy.next_step) == (str(error), "it is bad", "remove it")


@pytest.fixture
def blocks():
    """A clip in flat blocks of colour, 16 pixels wide."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(3, 6, 2, 2, generator=generator) * 1.6 - 0.8
    return small.repeat_interleave(16, 2).repeat_interleave(16, 3)


@pytest.mark.parametrize("ending", ["mp4", "webm", "gif"])
@pytest.mark.parametrize("odd", [0, 1])
def test_write_then_read(tmp_path, blocks, ending, odd):
    pixels = blocks[:, :, : 32 - odd, : 32 - odd]
    path = tmp_path / f"a.{ending}"
    write_video(path, pixels, fps=8)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    back = read_clip(path, num_frames=6, fps=8)
    assert abs(back.shape[2] - pixels.shape[2]) <= 1
    for corner in (slice(4, 12), slice(20, 28)):  # within blocks: edges of colour are smoothed
        difference = (back[:, :, corner, corner] - pixels[:, :, corner, corner]).abs()
        assert difference.mean() < 0.03
        assert difference.max() < 0.15
    assert probe(path).duration == pytest.approx(6 / 8, abs=0.02)


def test_mp4_is_what_browsers_play(tmp_path, blocks):
    path = tmp_path / "a.mp4"
    write_video(path, blocks[:, :, 1:, 1:], fps=8)
    with av.open(path) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.height % 2 == stream.width % 2 == 0
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_gif_keeps_time_at_rates_it_cannot_hold(tmp_path, blocks):
    pixels = blocks.repeat(1, 5, 1, 1)
    write_video(tmp_path / "a.gif", pixels, fps=12)
    assert probe(tmp_path / "a.gif").duration == pytest.approx(30 / 12, abs=0.02)


def test_write_frames(tmp_path, blocks):
    write_frames(tmp_path / "frames", blocks)
    files = sorted((tmp_path / "frames").iterdir())
    assert [file.name for file in files] == [f"{k:05d}.png" for k in range(6)]
    back = torch.from_numpy(np.asarray(Image.open(files[3])).astype(np.float32)) / 127.5 - 1
    assert (back.permute(2, 0, 1) - blocks[:, 3]).abs().max() <= 0.5 / 127.5 + 1e-6
    with pytest.raises(ValueError, match="exists; name a new folder"):
        write_frames(tmp_path / "frames", blocks)


def test_a_failed_write_leaves_nothing_and_spares_what_was_there(tmp_path, blocks, monkeypatch):
    path = tmp_path / "a.gif"
    path.write_text("precious")

    def fail(path: Path, frames: np.ndarray, fps: float) -> None:
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setitem(writing._WRITERS, ".gif", fail)
    with pytest.raises(OSError, match="disk full"):
        write_video(path, blocks, fps=8)
    assert path.read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


def test_write_refuses_what_it_cannot_write(tmp_path, blocks):
    with pytest.raises(ValueError, match=r"end its name in \.mp4"):
        write_video(tmp_path / "a.xyz", blocks, fps=8)
    with pytest.raises(ValueError, match=r"\(3, f, h, w\), got \(1, 6, 32, 32\)"):
        write_video(tmp_path / "a.mp4", blocks[:1], fps=8)
    with pytest.raises(ValueError, match="fps must be positive"):
        write_video(tmp_path / "a.mp4", blocks, fps=0)


def test_contact_sheet(tmp_path, blocks):
    path = tmp_path / "sheet.png"
    rows = [(blocks, "a caption"), (blocks[:, :3], "é 漢字")]
    contact_sheet(path, [sheet_row(*row, num_frames=4) for row in rows])
    sheet = Image.open(path)
    assert sheet.width == 4 * 98
    assert sheet.height > 2 * 96
    frame = np.asarray(sheet.crop((0, sheet.height - 98, 96, sheet.height - 2)).convert("RGB"))
    expected = blocks[:, 0].add(1).mul(127.5).permute(1, 2, 0).repeat_interleave(3, 0)
    assert np.abs(frame - expected.repeat_interleave(3, 1).numpy()).max() <= 1
    with pytest.raises(ValueError, match="at least one video"):
        contact_sheet(path, [])


def test_chromium_plays_what_is_written(tmp_path, chromium, blocks):
    """Only where a browser is at hand: it must decode the first frame of each format."""
    for ending in ("mp4", "webm"):
        write_video(tmp_path / f"a.{ending}", blocks, fps=8)
    page = tmp_path / "page.html"
    page.write_text(
        "<body><script>const out={};let left=2;for(const e of ['mp4','webm']){"
        "const v=document.createElement('video');v.muted=true;"
        "const done=s=>{out[e]=s;if(!--left)document.body.textContent=JSON.stringify(out)};"
        "v.onloadeddata=()=>done([v.videoWidth,v.videoHeight,v.duration]);"
        "v.onerror=()=>done(v.error.message);v.src='a.'+e;document.body.append(v)}</script>"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    out = subprocess.run(
        [chromium, *flags, f"--user-data-dir={tmp_path}/profile", "--dump-dom", f"file://{page}"],
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout
    played = json.loads(out[out.index("{") : out.rindex("}") + 1])
    for ending in ("mp4", "webm"):
        assert played[ending] == [32, 32, pytest.approx(0.75, abs=0.1)], played
