"""Clips of video_folder at the rates of files, and what is said of odd ones."""

from __future__ import annotations

import numpy as np
import pytest
from torch.utils.data import DataLoader
from video_files import read_numbers

from vidiff.data import VideoFolder


def folder(root, **settings):
    defaults = {"split": "train", "num_frames": 5, "height": 16, "width": 48}
    return VideoFolder(root=str(root), **{**defaults, **settings})


@pytest.mark.parametrize("fps", [7.0, 23.976, 29.97, 120.0])
def test_clips_are_consecutive_frames_wherever_they_start(tmp_path, make_video, fps):
    make_video(tmp_path / "a.mkv", [k / fps for k in range(12)])
    dataset = folder(tmp_path)
    firsts = set()
    for index in range(60):
        numbers = read_numbers(dataset[index].pixels)
        firsts.add(numbers[0])
        assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert firsts == set(range(8))


def test_uneven_files_give_every_start_too(tmp_path, make_video):
    steps = np.random.default_rng(0).choice([1, 1, 2, 8], 11)
    make_video(tmp_path / "a.mp4", [0.0, *(np.cumsum(steps) / 30).tolist()])
    dataset = folder(tmp_path)
    clips = [read_numbers(dataset[index].pixels) for index in range(60)]
    assert all(clip == list(range(clip[0], clip[0] + 5)) for clip in clips)
    assert {clip[0] for clip in clips} == set(range(8))
    halves = [
        folder(tmp_path, split=split, val_fraction=0.5, hold_out="stretches")
        for split in ("train", "val")
    ]
    shown = [
        {n for index in range(30) for n in read_numbers(half[index].pixels)} for half in halves
    ]
    assert shown == [set(range(6)), set(range(6, 12))]


def test_repeated_frames_are_said_once(tmp_path, make_video, caplog):
    make_video(tmp_path / "a.mp4", [k / 10 for k in range(20)])
    list(folder(tmp_path, clips_per_video=5))
    assert "the one before" not in caplog.text
    list(folder(tmp_path, fps=20.0, start="first", clips_per_video=5))
    said = [r.getMessage() for r in caplog.records if "the one before" in r.getMessage()]
    assert len(said) == 1
    assert "a.mp4: 40% of the frames of a clip repeat the one before" in said[0]
    assert "lower fps, or set it to null" in said[0]


def test_workers_say_it_once_together(tmp_path, make_video):
    make_video(tmp_path / "a.mp4", [k / 10 for k in range(20)])
    dataset = folder(tmp_path, fps=20.0, clips_per_video=6)
    assert not dataset._told.any()
    list(DataLoader(dataset, batch_size=None, num_workers=1))
    assert dataset._told.tolist() == [0, 0, 1]


def test_a_start_past_the_end_is_too_short(tmp_path, make_video):
    make_video(tmp_path / "a.mp4", [k / 10 for k in range(20)])
    for fps in (None, 5.0):
        with pytest.raises(ValueError, match="too short"):
            folder(tmp_path, start=7.0, fps=fps)[0]
