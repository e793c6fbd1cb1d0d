"""Which clips of a folder a protocol chooses, and what is read of them."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import repeat
from PIL import Image
from video_files import numbered_frame, read_numbers

from vidiff.video import Timeline, write_frames, write_video
from vidiff_eval.clips import frame_folder as frames
from vidiff_eval.clips.choose import choose_clips, clips_of, open_files
from vidiff_eval.clips.clip import Clip, ClipSet, VideoFile
from vidiff_eval.clips.frame_folder import content_hash, natural
from vidiff_eval.clips.listing import read_prompts
from vidiff_eval.protocols.protocol import Protocol

MakeVideo = Callable[..., Path]
START = Protocol(num_frames=4, real_clip="start", generated_clip="start")


def times(num_frames: int, fps: float = 8) -> list[float]:
    return [k / fps for k in range(num_frames)]


def even(num_frames: int) -> Timeline:
    return Timeline.even(num_frames, 8.0)


def numbers(clip: Clip) -> list[int]:
    return read_numbers(clip.read().numpy())


def choose(folder: Path, protocol: Protocol = START, **options: object) -> ClipSet:
    return choose_clips(folder, protocol, side="real", **options)  # type: ignore[arg-type]


# --- where clips begin ---------------------------------------------------------------------------


@pytest.mark.parametrize("begin", ["start", "middle", "random"])
def test_every_frame_of_every_clip_exists(begin: str) -> None:
    """All combinations of lengths: clips lie in the file, one after the other, as many as fit."""
    for total, length, stride, most in product(range(1, 40), (1, 2, 5, 16), (1, 2, 3), (1, 2, 5)):
        protocol = Protocol(
            num_frames=length, stride=stride, clips_per_video=most, real_clip=begin, seed=total
        )
        video = VideoFile(Path("."), "a.mp4", sha256=f"{total}", fps=8, timeline=even(total))
        if (length - 1) * stride + 1 > total:
            with pytest.raises(ValueError, match=f"^has {total} frames") as failed:
                clips_of(video, protocol, "real")
            enough = int(str(failed.value).partition("num_frames to ")[2].split()[0])
            assert (enough - 1) * stride + 1 <= total < enough * stride + 1
            continue
        clips = clips_of(video, protocol, "real")
        used = [round(c.start * 8) + k * stride for c in clips for k in range(c.num_frames)]
        assert min(used) >= 0
        assert max(used) < total
        assert used == sorted(set(used)), "clips overlap"
        begins = [round(c.start * 8) for c in clips]
        assert all(b - a == length * stride for a, b in pairwise(begins))
        assert len(clips) == min(most, 1 + (total - (length - 1) * stride - 1) // (length * stride))
        if begin == "start":
            assert begins[0] == 0
        if begin == "middle":
            assert 0 <= (total - 1 - max(used)) - min(used) <= 1
        assert {c.fps for c in clips} == {8 / stride}
        assert [c.number for c in clips] == list(range(len(clips)))


def test_random_starts_are_uniform() -> None:
    protocol = Protocol(num_frames=4)
    starts = Counter()
    for index in range(4000):
        video = VideoFile(Path("."), "a.mp4", sha256=f"{index:x}", fps=8, timeline=even(8))
        starts[round(clips_of(video, protocol, "real")[0].start * 8)] += 1
    assert sorted(starts) == [0, 1, 2, 3, 4]
    # Chi-square of four degrees of freedom: 18.5 is exceeded once in a thousand.
    assert sum((count - 800) ** 2 / 800 for count in starts.values()) < 18.5


@pytest.mark.parametrize(("stride", "fps"), [(1, None), (3, None), (1, 5.0), (2, 12.0)])
def test_frames_that_are_read(
    tmp_path: Path, make_video: MakeVideo, stride: int, fps: float | None
) -> None:
    make_video(tmp_path / "a.mp4", times(30))
    protocol = START.change(stride=stride, fps=fps, clips_per_video=2, real_clip="random")
    clips = choose(tmp_path, protocol).clips
    rate = fps or 8
    assert len(clips) == 2
    for clip in clips:
        first = round(clip.start * rate)
        shown = [(first + k * stride) / rate for k in range(4)]
        assert numbers(clip) == [math.floor(second * 8 + 1e-6) for second in shown]


def test_strides_of_the_sides(tmp_path: Path, make_video: MakeVideo) -> None:
    """As Latte's: every third frame of the dataset, every frame of what was made of such clips."""
    make_video(tmp_path / "a.mp4", times(12))
    protocol = START.change(stride=3, generated_stride=1)
    sides = [choose_clips(tmp_path, protocol, side=s).clips[0] for s in ("real", "generated")]
    assert [numbers(clip) for clip in sides] == [[0, 3, 6, 9], [0, 1, 2, 3]]
    middle = START.change(generated_clip="middle")
    assert numbers(choose_clips(tmp_path, middle, side="generated").clips[0])[0] == 4


def test_last_frames_can_be_read_at_any_rate(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "a.mp4", times(23, 29.97), ticks=30000)
    for fps in (None, 7.0, 24.0, 30.0, 60.0):
        protocol = Protocol(num_frames=None, fps=fps)
        (clip,) = choose(tmp_path, protocol).clips
        if fps in (None, 30.0):  # the file's own rate and one near it
            assert numbers(clip) == list(range(23))
            continue
        assert abs(clip.num_frames - 23 / 29.97 * fps) <= 0.6
        shown = [math.floor(k / fps * 29.97 + 0.1) for k in range(clip.num_frames)]
        assert numbers(clip) == shown


def test_chance_depends_on_content_and_seed_alone(tmp_path: Path, make_video: MakeVideo) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for index in range(6):
        make_video(one / f"{index}.mp4", times(20 + index))
    (other / "deep").mkdir(parents=True)
    for index in (0, 2, 5):
        shutil.copy(one / f"{index}.mp4", other / "deep" / f"x{9 - index}.mp4")
    protocol = Protocol(num_frames=4)
    first = {clip.video.sha256: clip for clip in choose(one, protocol).clips}
    again = {clip.video.sha256: clip for clip in choose(other, protocol).clips}
    assert len(again) == 3
    assert all(first[content].key == clip.key for content, clip in again.items())
    assert all(first[content].start == clip.start for content, clip in again.items())
    seeded = choose(one, protocol.change(seed=1)).clips
    assert [clip.start for clip in seeded] != [first[c.video.sha256].start for c in seeded]
    # A part of a folder is the head of an order that is the same in any folder.
    for most in range(1, 7):
        part = choose(one, protocol.change(num_clips=most))
        assert len(part) == most
        common = {clip.key for clip in part.clips} & {clip.key for clip in again.values()}
        if common:
            head = choose(other, protocol.change(num_clips=len(common)))
            assert {clip.key for clip in head.clips} == common


def test_key_is_of_all_that_decides_pixels(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "a.mp4", times(20))
    base = choose(tmp_path).clips[0]
    others = [
        choose(tmp_path, START.change(**change)).clips[0]
        for change in ({"num_frames": 5}, {"stride": 2}, {"real_clip": "middle"}, {"size": (8, 8)})
    ]
    keys = {base.key, replace(base, transform="frozen").key, *(clip.key for clip in others)}
    assert len(keys) == 6
    make_video(tmp_path / "a.mp4", times(21))
    assert choose(tmp_path).clips[0].key not in keys


# --- what is in a folder -------------------------------------------------------------------------


def test_listing(tmp_path: Path, make_video: MakeVideo) -> None:
    names = ["10.mp4", "2.mp4", "sub/1.mkv", "日本 café.mp4"]
    for name in [*names, ".hidden.mp4", ".trash/old.mp4"]:
        make_video(tmp_path / name, times(5))
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "thumbs").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "thumbs" / "2.png")
    (tmp_path / "2.txt").write_text("the second")
    assert [clip.id for clip in choose(tmp_path).clips] == ["2.mp4", "10.mp4", *names[2:]]
    assert choose(tmp_path).clips[0].video.prompt == "the second"


def test_order_of_names() -> None:
    names = ["a10b2.mp4", "a9.mp4", "a10b1.mp4", "b.mp4", "1.mp4", "٣.mp4", "²5.mp4"]
    assert sorted(names, key=natural)[:5] == ["1.mp4", "a9.mp4", "a10b1.mp4", "a10b2.mp4", "b.mp4"]


def test_bad_files_are_named(
    tmp_path: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ValueError, match=r"no video that can be read \(empty.mp4: the file is emp"):
        choose(tmp_path)
    make_video(tmp_path / "good.mp4", times(5))
    clips = choose(tmp_path)
    assert [clip.id for clip in clips.clips] == ["good.mp4"]
    assert sorted(clips.skipped) == ["empty.mp4", "text.mp4"]
    assert "text.mp4 is left out: not a readable video" in caplog.text
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="it is empty"):
        choose(tmp_path / "none")
    with pytest.raises(ValueError, match="is no folder"):
        choose(tmp_path / "good.mp4")


def test_real_bad_files(shared_videos: Path) -> None:
    bad = shared_videos / "bad"
    if not bad.is_dir():
        pytest.skip(f"no {bad}")
    clips = choose(bad, START.change(num_frames=2))
    assert {"empty.mp4", "text.mp4"} <= set(clips.skipped)
    assert {"rot90.mov", "ten_bit.mp4"} <= {clip.id for clip in clips.clips}
    assert all(clips.skipped.values())


def test_without() -> None:
    videos = [VideoFile(Path("."), f"{name}.mp4", sha256=name) for name in "ab"]
    clips = ClipSet(Path("."), [Clip(video, n, n, 4, 8) for video in videos for n in range(2)])
    left = clips.without({"a.mp4": "damaged"})
    assert [clip.id for clip in left.clips] == ["b.mp4", "b.mp4#1"]
    assert left.skipped == {"a.mp4": "damaged"}


def test_files_are_hashed_once(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.mp4", times(5))
    read: list[Path] = []
    hash_file = frames.sha256
    monkeypatch.setattr(frames, "sha256", lambda path: read.append(path) or hash_file(path))
    first = content_hash(path)
    assert content_hash(path) == first == hash_file(path)
    assert len(read) == 1
    make_video(path, times(6))
    os.utime(path, ns=(1, 1))
    assert content_hash(path) == hash_file(path) != first


# --- samples of vidiff ---------------------------------------------------------------------------


def checks(height: int = 8, width: int = 12, num_frames: int = 5) -> torch.Tensor:
    """Grey pixels that differ from their neighbours."""
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(1, num_frames, height // 2, width // 2, generator=generator) * 2 - 1
    return repeat(grey, "1 f h w -> c f (h y) (w x)", c=3, y=2, x=2)


def test_samples(tmp_path: Path, samples: Callable[..., Path]) -> None:
    videos = checks()[None].repeat(2, 1, 1, 1, 1)
    folder = samples(tmp_path / "s", videos, ["a cat", "a dog"], scale=16)
    shutil.copy(folder / "0000.mp4", folder / "unlisted.mp4")
    clips = choose(folder).clips
    assert [(c.id, c.video.prompt, c.video.seed) for c in clips] == [
        ("0000.mp4", "a cat", 7), ("0001.mp4", "a dog", 7),
    ]  # fmt: skip
    assert clips[0].read().shape == (3, 4, 8, 12)
    assert (clips[0].read() - checks()[:, :4]).abs().mean() < 0.03
    # Another size is taken of the video, not of the enlarged file.
    (clip, _) = choose(folder, START.change(size=(4, 4))).clips
    small = checks()[:, :4].unflatten(2, (4, 2)).unflatten(4, (6, 2)).mean((3, 5))[..., 1:5]
    assert clip.read().shape == (3, 4, 4, 4)
    assert (clip.read() - small).abs().mean() < 0.03
    (clip, _) = choose(folder, START.change(size=(20, 24))).clips
    assert clip.read().shape == (3, 4, 20, 24)


def test_samples_listed_by_two_processes_count_once(
    tmp_path: Path, samples: Callable[..., Path]
) -> None:
    folder = samples(tmp_path / "s", checks()[None], ["a cat"])
    index = folder / "samples.jsonl"
    line = index.read_text()
    index.write_text(line * 2)
    assert len(choose(folder)) == 1
    index.write_text(line + line.replace("a cat", "a dog"))
    with pytest.raises(ValueError, match=r"lists 0000.mp4 twice"):
        choose(folder)
    index.write_text(line.replace("0000.mp4", "../0000.mp4"))
    with pytest.raises(ValueError, match="outside the folder"):
        choose(folder)


def test_scale_that_does_not_divide(tmp_path: Path, samples: Callable[..., Path]) -> None:
    folder = samples(tmp_path / "s", checks()[None], ["a cat"], scale=4)
    index = folder / "samples.jsonl"
    index.write_text(index.read_text().replace('"scale": 4', '"scale": 5'))
    with pytest.raises(ValueError, match="32x48, no multiple of its scale 5"):
        choose(folder).clips[0].read()


# --- folders of frames ---------------------------------------------------------------------------


def test_folders_of_frames(tmp_path: Path) -> None:
    for name, count in (("v2", 12), ("v10", 6)):
        pictures = np.stack([numbered_frame(k) for k in range(count)])
        pixels = torch.from_numpy(pictures).permute(3, 0, 1, 2) / 127.5 - 1
        write_frames(tmp_path / name, pixels)
    (tmp_path / "v2" / "2.txt").write_text("not an image")
    clips = choose(tmp_path, START.change(stride=2, num_frames=3)).clips
    assert [clip.id for clip in clips] == ["v2", "v10"]
    assert numbers(clips[0]) == [0, 2, 4]
    assert torch.equal(clips[0].read()[:, 1].amax(), torch.tensor(1.0))
    long = choose(tmp_path, Protocol(num_frames=None, stride=3)).clips
    assert [numbers(clip) for clip in long] == [[0, 3, 6, 9], [0, 3]]
    assert choose(tmp_path, START.change(size=(16, 24))).clips[0].read().shape == (3, 4, 16, 24)
    with pytest.raises(ValueError, match="no rate"):
        choose(tmp_path, START.change(fps=8))
    key = clips[0].key
    Image.new("RGB", (96, 32)).save(tmp_path / "v2" / "00005.png")
    assert choose(tmp_path, START.change(stride=2, num_frames=3)).clips[0].key != key


def test_frames_and_files_are_scaled_alike(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(1, 4, 6, 8, generator=generator) * 1.6 - 0.8
    pixels = repeat(grey, "1 f h w -> 3 f (h y) (w x)", y=8, x=8)
    (tmp_path / "files").mkdir()
    write_video(tmp_path / "files" / "a.mp4", pixels, fps=25)
    (tmp_path / "frames").mkdir()
    write_frames(tmp_path / "frames" / "a", pixels)
    for size in ((24, 24), (12, 16), (96, 128)):
        protocol = START.change(size=size)
        one, other = (choose(tmp_path / n, protocol).clips[0].read() for n in ("files", "frames"))
        assert one.shape == other.shape == (3, 4, *size)
        assert (one - other).abs().mean() < 0.03


# --- prompts -------------------------------------------------------------------------------------


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_prompts_in_csv(tmp_path: Path) -> None:
    text = 'path,caption\r\na.mp4,"a cat, ""Tom"",\r\nand a mouse"\r\n./sub/b.mp4, a dog\r\n\r\n'
    prompts = read_prompts(write(tmp_path / "p.csv", "\ufeff" + text))
    assert prompts == {"a.mp4": 'a cat, "Tom", and a mouse', "sub/b.mp4": "a dog"}


def test_prompts_in_jsonl(tmp_path: Path) -> None:
    rows = [{"file": "a.mp4", "prompt": "a\u2028b"}, {"path": "b.mp4", "caption": "c"}]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    assert read_prompts(write(tmp_path / "p.jsonl", text)) == {"a.mp4": "a b", "b.mp4": "c"}


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("p.txt", " \n", "empty"),
        ("p.csv", "a.mp4,a cat\n", "no column 'path'"),
        ("p.csv", "path,caption\na.mp4\n", "line 2: needs a path and a caption"),
        ("p.csv", "path,caption\na.mp4,a cat, a dog\n", "line 2: more cells than columns"),
        ("p.csv", "path,caption\na.mp4,a\na.mp4,b\n", "line 3: 'a.mp4' has a caption already"),
        ("p.csv", 'path,caption\na.mp4,"a\n', "line 2: a quote .* not closed"),
        ("p.jsonl", '{"path": "a.mp4", "caption": "a"}\n[1]\n', "line 2: needs an object"),
        ("p.jsonl", '{"path": \n', "line 1: .* no JSON"),
        ("p.jsonl", '{"path": "a", "caption": 3}', "line 1: needs a path"),
    ],
)
def test_broken_prompts(tmp_path: Path, name: str, text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read_prompts(write(tmp_path / name, text))
    with pytest.raises(ValueError, match="cannot be read"):
        read_prompts(tmp_path / "absent.csv")


def test_prompts_find_their_videos(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ("2.mp4", "10.mp4", "cafe\u0301.mp4"):
        make_video(tmp_path / "v" / name, times(5))
    lines = write(tmp_path / "p.txt", "two\n\nten\ncoffee\n")
    clips = choose(tmp_path / "v", prompts=lines).clips
    assert [clip.video.prompt for clip in clips] == ["two", "ten", "coffee"]
    table = write(tmp_path / "p.csv", "file,prompt\ncaf\u00e9.mp4,c\n2.mp4,b\n10.mp4,a\nno.mp4,x")
    clips = choose(tmp_path / "v", prompts=table).clips
    assert [clip.video.prompt for clip in clips] == ["b", "a", "c"]
    with pytest.raises(ValueError, match="2 lines for 3 videos"):
        choose(tmp_path / "v", prompts=write(tmp_path / "p.txt", "a\nb"))
    with pytest.raises(ValueError, match=r"have none for 10.mp4 \(and 1 more\)"):
        choose(tmp_path / "v", prompts=write(tmp_path / "p.csv", "path,caption\n2.mp4,b"))


def test_opening_keeps_order(tmp_path: Path, make_video: MakeVideo) -> None:
    files = [VideoFile(tmp_path, make_video(tmp_path / f"{n}.mp4", times(n)).name) for n in (5, 3)]
    opened, skipped = open_files([files[0], VideoFile(tmp_path, "absent.mp4"), files[1]])
    assert [video.times.num_frames for video in opened] == [5, 3]
    assert skipped == {"absent.mp4": "no such file"}
