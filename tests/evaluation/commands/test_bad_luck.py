"""What goes wrong late costs no evaluation: an index in another encoding, twins, hostile images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vidiff.video import VideoError, VideoReader, write_video
from vidiff_eval.clips.frame_folder import FrameFolder
from vidiff_eval.clips.sample_index import precision_of


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_index_with_a_mark_says_its_precision(tmp_path: Path, encoding: str) -> None:
    write_video(tmp_path / "0.mp4", torch.zeros(3, 2, 16, 16), fps=8)
    line = {
        "prompt": "a red\u2028square", "seed": 0, "index": 0, "file": "0.mp4",
        "settings": {"precision": "32-true"},
    }  # fmt: skip
    text = json.dumps(line, ensure_ascii=False) + "\n"
    (tmp_path / "samples.jsonl").write_text(text, encoding=encoding)
    assert precision_of(tmp_path) == {"precision": "32-true"}
    (tmp_path / "samples.jsonl").unlink()
    assert precision_of(tmp_path) == {}


def test_a_picture_that_claims_to_be_huge_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(2):
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / f"{k}.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # refused from twice as many on
    with pytest.raises(VideoError, match=r"0\.png is damaged \(.*decompression bomb"):
        FrameFolder(tmp_path).clip(num_frames=2)


def test_a_file_that_may_not_be_looked_at_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(VideoError, match=r"cannot be read \(Permission denied\); check its"):
        VideoReader(tmp_path / "a.mp4")
