from __future__ import annotations

import logging
import os
import pickle
import shutil

import pytest
import torch
from video_files import read_numbers

from vidiff.data import VideoFolder
from vidiff.registry import get_component
from vidiff.video import VideoReader


def times(count: int, fps: float = 10.0) -> list[float]:
    return [k / fps for k in range(count)]


def folder(root, split="train", **settings):
    return VideoFolder(
        split=split, root=str(root), **{"num_frames": 4, "height": 16, "width": 48, **settings}
    )


@pytest.fixture
def root(tmp_path, make_video):
    """Four files; a.mp4 and sub/c.gif have captions."""
    make_video(tmp_path / "b.mkv", times(40))
    make_video(tmp_path / "a.mp4", times(30))
    make_video(tmp_path / "sub" / "c.gif", times(20), codec="gif", pix_fmt="rgb8")
    make_video(tmp_path / "sub" / "D.AVI", times(20), codec="mpeg4", ticks=10)
    (tmp_path / "captions.csv").write_text("path,caption\na.mp4,a dog\n")
    (tmp_path / "sub" / "c.txt").write_text("a cat\n")
    (tmp_path / "notes.txt").write_text("not a caption")
    (tmp_path / ".hidden.mp4").write_text("left alone")
    return tmp_path


def test_is_registered():
    assert get_component("dataset", "video_folder").cls is VideoFolder


def test_finds_files_in_order_with_their_captions(root):
    dataset = folder(root)
    samples = list(dataset)
    assert [sample.id.partition("#")[0] for sample in samples] == [
        "a.mp4",
        "b.mkv",
        "sub/D.AVI",
        "sub/c.gif",
    ]
    assert [sample.caption for sample in samples] == ["a dog", "", "", "a cat"]
    assert len({sample.id for sample in samples}) == 4
    for sample in samples:
        assert sample.pixels.shape == (3, 4, 16, 48)
        assert sample.pixels.dtype == torch.float32
        first = read_numbers(sample.pixels)[0]
        assert read_numbers(sample.pixels) == [first, first + 1, first + 2, first + 3]
    assert dataset.problems() == {}


def test_missing_captions_are_said_once(root, caplog):
    list(folder(root))
    said = [r.getMessage() for r in caplog.records if "no caption" in r.getMessage()]
    assert said == [f'{root}: 2 of 4 files for train have no caption and get ""']
    caplog.clear()
    assert {sample.caption for sample in folder(root, captions="none")} == {""}
    assert not caplog.records


def test_captions_of_absent_files_are_said(root, caplog):
    (root / "captions.csv").write_text("path,caption\nA.mp4,x\na.mp4,y\n")
    folder(root)
    assert "captions name 1 files that are not there: A.mp4" in caplog.text


def test_index_and_seed_decide_everything(root):
    settings = {"crop": "random", "width": 16}
    first, again = folder(root, **settings), folder(root, **settings)
    other = folder(root, seed=1, **settings)
    for index in (0, 1, 4, 9):
        sample = first[index]
        assert torch.equal(sample.pixels, again[index].pixels)
        assert sample.id == again[index].id
    assert any(not torch.equal(first[k].pixels, other[k].pixels) for k in range(4))
    # Another epoch: the same files in the same order, other clips of them.
    assert [first[k].id.partition("#")[0] for k in range(4, 8)] == [
        sample.id.partition("#")[0] for sample in first
    ]
    assert any(not torch.equal(first[k].pixels, first[k + 4].pixels) for k in range(4))


def test_every_start_is_drawn(tmp_path, make_video):
    make_video(tmp_path / "a.mp4", times(7))
    dataset = folder(tmp_path)
    starts = [read_numbers(dataset[index].pixels)[0] for index in range(80)]
    assert set(starts) == {0, 1, 2, 3}
    assert min(starts.count(start) for start in set(starts)) > 8


@pytest.mark.parametrize(("start", "number"), [("first", 0), ("center", 13), (1.2, 12), (0.0, 0)])
def test_fixed_starts(root, start, number):
    dataset = folder(root, start=start)
    assert [read_numbers(dataset[index].pixels)[0] for index in (0, 4, 8)] == [number] * 3


def test_rate_by_time_stamps(root):
    assert read_numbers(folder(root, start="first", fps=5.0)[0].pixels) == [0, 2, 4, 6]


def test_clips_per_video(root):
    dataset = folder(root, clips_per_video=3)
    assert len(dataset) == 12
    assert [dataset[index].id.partition("#")[0] for index in (0, 1, 4, 11, 12)] == [
        "a.mp4",
        "b.mkv",
        "a.mp4",
        "sub/c.gif",
        "a.mp4",
    ], "a few clips show all files"


def test_bad_files_are_left_out_with_reasons(root, make_video):
    (root / "empty.mp4").touch()
    (root / "text.mov").write_text("not a video")
    whole = (root / "b.mkv").read_bytes()
    (root / "cut.mkv").write_bytes(whole[:300])
    make_video(root / "short.mp4", times(3))
    dataset = folder(root)
    good = {"a.mp4", "b.mkv", "sub/D.AVI", "sub/c.gif"}
    ids = [dataset[index].id.partition("#")[0] for index in range(40)]
    assert set(ids) == good
    problems = dataset.problems()
    assert problems.keys() == {"empty.mp4", "text.mov", "cut.mkv", "short.mp4"}
    assert "empty" in problems["empty.mp4"]
    assert "not a readable video" in problems["text.mov"]
    assert "4 frames at 10 per second" in problems["short.mp4"]
    assert "need 0.40 s, it has 0.30 s" in problems["short.mp4"]
    assert "set short to loop or hold" in problems["short.mp4"]
    # What takes a bad file's place does not hang on what was met before.
    fresh = folder(root)
    assert [fresh[index].id for index in range(39, -1, -1)] == [
        dataset[index].id for index in range(39, -1, -1)
    ]
    # It is spread over the good files.
    replaced = [ids[index] for index in range(40) if dataset._paths[index % 8] not in good]
    assert len(set(replaced)) == 4


def test_damage_in_the_middle_spares_the_rest_of_the_file(tmp_path, make_video):
    # The index stands first, so the file opens and promises ten seconds.
    whole = make_video(tmp_path / "a.mp4", times(100), movflags="+faststart")
    make_video(tmp_path / "b.mkv", times(20))
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2])
    dataset = folder(tmp_path)
    ids = [dataset[index].id.partition("#")[0] for index in range(0, 60, 2)]
    assert set(ids) == {"a.mp4", "b.mkv"}
    assert "clips elsewhere in it are used" in dataset.problems()["a.mp4"]
    fresh = folder(tmp_path)
    assert [fresh[index].id.partition("#")[0] for index in range(58, -1, -2)] == ids[::-1]


def test_none_left_says_why_for_each(tmp_path, make_video):
    (tmp_path / "empty.mp4").touch()
    make_video(tmp_path / "short.mp4", times(3))
    dataset = folder(tmp_path)
    with pytest.raises(ValueError, match=r"none of the 2 files .*empty\.mp4: .*short\.mp4: too sh"):
        dataset[0]


@pytest.mark.parametrize(("short", "numbers"), [("loop", [0, 1, 2, 0]), ("hold", [0, 1, 2, 2])])
def test_short_files_can_be_used(tmp_path, make_video, short, numbers):
    make_video(tmp_path / "short.mp4", times(3))
    dataset = folder(tmp_path, short=short)
    assert read_numbers(dataset[0].pixels) == numbers
    assert dataset.problems() == {}


def test_split_hangs_on_the_path_alone(tmp_path):
    for index in range(200):
        (tmp_path / f"{index}.mp4").touch()
    train, val, test = (
        folder(tmp_path, split, val_fraction=0.2) for split in ("train", "val", "test")
    )
    assert set(train._paths) | set(val._paths) == {f"{index}.mp4" for index in range(200)}
    assert not set(train._paths) & set(val._paths)
    assert list(val._paths) == list(test._paths)
    assert 20 < len(val) < 60
    for index in range(200, 250):
        (tmp_path / f"{index}.mp4").touch()
    assert set(val._paths) <= set(folder(tmp_path, "val", val_fraction=0.2)._paths)


def test_split_says_what_lands_where(root, caplog):
    caplog.set_level(logging.INFO)
    folder(root, "val")
    assert "4 of 4 files for val (val_fraction 0, the training files)" in caplog.text
    with pytest.raises(ValueError, match=r"leaves none of the 4 files .* for val: raise it"):
        folder(root, "val", val_fraction=1e-9)
    with pytest.raises(ValueError, match=r"leaves none of the 4 files .* for train: lower it"):
        folder(root, "train", val_fraction=1 - 1e-9)


def test_links_must_not_lead_out(tmp_path, make_video):
    outside = make_video(tmp_path / "outside" / "x.mp4", times(9))
    root = tmp_path / "root"
    inside = make_video(root / "a.mp4", times(9))
    os.symlink(outside, root / "out.mp4")
    os.symlink(inside, root / "in.mp4")
    dataset = folder(root)
    assert {sample.id.partition("#")[0] for sample in dataset} == {"a.mp4", "in.mp4"}
    assert "leads out of root" in dataset.problems()["out.mp4"]
    (root / "a.mp4").unlink()
    (root / "in.mp4").unlink()
    with pytest.raises(ValueError, match=r"no video file under .*left out: out\.mp4"):
        folder(root)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": 0}, "num_frames must be at least 1"),
        ({"fps": 0.0}, "fps must be positive"),
        ({"start": -1.0}, "start must not be negative"),
        ({"val_fraction": 1.0}, r"val_fraction must be in \[0, 1\)"),
        ({"clips_per_video": 0}, "clips_per_video must be at least 1"),
    ],
)
def test_wrong_settings(root, settings, message):
    with pytest.raises(ValueError, match=message):
        folder(root, **settings)


def test_wrong_folders(tmp_path):
    with pytest.raises(ValueError, match="absent is not a folder"):
        folder(tmp_path / "absent")
    (tmp_path / "readme.md").touch()
    with pytest.raises(ValueError, match=r"no video file under .*\.mp4"):
        folder(tmp_path)


def test_only_what_the_clip_needs_is_decoded(tmp_path, make_video, monkeypatch):
    make_video(tmp_path / "long.mp4", times(1000), keyframe_every=10)
    decoded = []
    decode = VideoReader._decode

    def counting(self, step):
        for item in decode(self, step):
            decoded.append(item[0])
            yield item

    monkeypatch.setattr(VideoReader, "_decode", counting)
    dataset = folder(tmp_path)
    for index in range(20):
        dataset[index]
    assert len(decoded) < 20 * (4 + 10 + 2)
    assert max(decoded) > 50


def test_can_be_sent_to_workers(root):
    dataset = folder(root)
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[1].pixels, dataset[1].pixels)


def test_real_folder_with_bad_files(tmp_path, shared_videos):
    shutil.copytree(shared_videos / "clips", tmp_path / "mixed")
    shutil.copytree(shared_videos / "bad", tmp_path / "mixed" / "bad")
    dataset = folder(tmp_path / "mixed", num_frames=9, fps=8.0, height=32, width=32, start="first")
    samples = list(dataset)
    assert len(samples) == 18
    by_file = {sample.id.partition("#")[0]: sample.caption for sample in samples}
    assert by_file["pancake.mkv"] == "a woman flips a pancake in a kitchen"
    assert dataset.problems().keys() == {
        f"bad/{name}.mp4" for name in ("empty", "text", "truncated", "ten_bit")
    } | {"bad/rot90.mov"}


@pytest.mark.parametrize("fps", [None, 4.0, 7.0])
def test_stretches_of_each_file_are_held_out(root, fps):
    """Every file is in both splits, and no frame is."""
    settings = {"num_frames": 2, "fps": fps, "clips_per_video": 30, "val_fraction": 0.4}
    shown = {}
    for split in ("train", "val"):
        dataset = folder(root, split, hold_out="stretches", **settings)
        for sample in dataset:
            file = sample.id.partition("#")[0]
            shown.setdefault((file, split), set()).update(read_numbers(sample.pixels))
    files = {file for file, _ in shown}
    assert len(files) == 4
    for file in files:
        train, val = shown[file, "train"], shown[file, "val"]
        assert max(train) < min(val)
        boundary = 0.6 * {"a.mp4": 30, "b.mkv": 40}.get(file, 20)
        assert max(train) < boundary <= min(val)
        if fps is None:
            assert max(train) > boundary - 3
            assert min(val) < boundary + 3


def test_a_stretch_that_is_too_short_says_so(root):
    dataset = folder(root, "val", hold_out="stretches", val_fraction=0.1, num_frames=8)
    with pytest.raises(ValueError, match=r"it has 2\.00 s \(90% to 100% of it for val\)"):
        dataset[0]
