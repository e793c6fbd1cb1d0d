from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest
import torch

from vidiff.captions import folder_table
from vidiff.data import VideoFolder
from vidiff.data.packed import PackedStrings
from vidiff.video import write_frames

MakeVideo = Callable[..., Path]
Form = Literal["NFC", "NFD"]
TIMES = [k / 10 for k in range(5)]


def test_packed_strings_are_the_strings_in_less_memory():
    strings = ["", "a red square", "é漢", "", "odd\udcff"] * 1000
    packed = PackedStrings(strings)
    assert list(packed) == strings
    assert packed[-1] == strings[-1]
    assert packed[1:4] == strings[1:4]
    assert len(pickle.dumps(packed)) < sum(map(sys.getsizeof, strings)) / 3
    with pytest.raises(IndexError):
        packed[5000]
    assert list(PackedStrings([])) == []


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def folder(root: Path, **settings: object) -> VideoFolder:
    return VideoFolder(split="train", root=str(root), num_frames=2, height=8, width=8, **settings)


def captions(dataset: VideoFolder) -> dict[str, str]:
    return {sample.id.partition("#")[0]: sample.caption for sample in dataset}


# --- tables --------------------------------------------------------------------------------------


def test_two_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("path,caption\n")
    (tmp_path / "captions.jsonl").write_text("")
    with pytest.raises(ValueError, match="keep one"):
        folder_table(tmp_path)


def test_a_table_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match=r"captions\.csv is no file, nor a link to one"):
        folder_table(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("ours", "theirs"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_and_captions_as_other_systems_write_them(
    tmp_path: Path, make_video: MakeVideo, encoding: str, ours: Form, theirs: Form
) -> None:
    """Accents apart (macOS), absolute paths, backslashes (Windows), and marks of encodings."""
    names = ["é/ü.mp4", "b.mp4", "sub/c.mp4", "ä.mp4"]
    for name in names:
        make_video(tmp_path / normalize(ours, name), TIMES)
    rows = [f"{normalize(theirs, names[0])},café", f"{tmp_path}/b.mp4,漢", "sub\\c.mp4,x"]
    table = "\r\n".join(["file,prompt", *rows])
    write(tmp_path / "captions.csv", table, encoding)
    write(tmp_path / normalize(theirs, "ä.txt"), "naïve\r\n  dog", encoding)
    found = captions(folder(tmp_path))
    assert found == {
        normalize(ours, name): caption
        for name, caption in zip(names, ["café", "漢", "x", "naïve dog"], strict=True)
    }


def test_a_table_of_other_files_is_said(
    tmp_path: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.mp4", "b.mp4"):
        make_video(tmp_path / name, TIMES)
    table = write(tmp_path / "captions.csv", "path,caption\nvideos/a.mp4,x\nvideos/b.mp4,y\n")
    folder(tmp_path)
    (said,) = [r.getMessage() for r in caplog.records if "rows" in r.getMessage()]
    assert "none of 2 rows names one that is there" in said
    assert "first row has 'videos/a.mp4', the first file is 'a.mp4'" in said
    caplog.clear()
    table.write_text("path,caption\na.mp4,x\nvideos/b.mp4,y\n")
    folder(tmp_path)
    assert "none of" not in caplog.text
    assert "captions name 1 files that are not there: videos/b.mp4" in caplog.text


def test_what_may_be_overlooked_is_said(
    tmp_path: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    """Folders of frames beside a video file, and a video in two files."""
    make_video(tmp_path / "a.mp4", TIMES)
    write_frames(tmp_path / "thumbs", torch.zeros(3, 1, 8, 8))
    folder(tmp_path)
    assert "not read" not in caplog.text
    make_video(tmp_path / "a.mkv", TIMES)
    write_frames(tmp_path / "v1", torch.zeros(3, 5, 8, 8))
    folder(tmp_path)
    assert "5 images in v1 are not read: only video files are" in caplog.text
    assert "1 videos have several files (a.mkv, a.mp4), and all are used" in caplog.text


# --- text files ----------------------------------------------------------------------------------


def test_texts_that_cannot_be_read_are_all_named_at_the_start(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    for name in ("a", "b", "c"):
        make_video(tmp_path / f"{name}.mp4", TIMES)
    write(tmp_path / "a.txt", "un café", "cp1252")
    write(tmp_path / "b.txt", "a dog")
    write(tmp_path / "c.txt", "a dog", "utf-16-le")
    with pytest.raises(ValueError, match="iconv") as refused:
        folder(tmp_path)
    assert f"{tmp_path}/a.txt, line 1: byte 0xe9" in str(refused.value)
    assert f"iconv -f utf-16le -t utf-8 {tmp_path}/c.txt" in str(refused.value)
    assert "b.txt" not in str(refused.value)
    assert len(folder(tmp_path, captions="none")) == 3
    # A table says what these are, so nobody reads them.
    write(tmp_path / "captions.csv", "path,caption\na.mp4,x\nc.mp4,y\n")
    assert captions(folder(tmp_path)) == {"a.mp4": "x", "b.mp4": "a dog", "c.mp4": "y"}


def test_a_text_that_is_damaged_later_costs_its_clip_alone(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    for name in ("a", "b"):
        make_video(tmp_path / f"{name}.mp4", TIMES)
        write(tmp_path / f"{name}.txt", name)
    dataset = folder(tmp_path)
    write(tmp_path / "a.txt", "café", "cp1252")
    assert [dataset[k].caption for k in range(4)] == ["b"] * 4
    assert "its caption cannot be read" in dataset.problems()["a.mp4"]
    (tmp_path / "b.txt").unlink()
    assert dataset[1].caption == ""
