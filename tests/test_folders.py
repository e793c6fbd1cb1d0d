"""What a scan of a folder of videos takes, and what it leaves out and names."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vidiff.folders import group_by_stem, scan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one of everything."""
    root = tmp_path / "root"
    for folder in ("sub/deep", ".hidden", "v1.mp4", "frames"):
        (root / folder).mkdir(parents=True)
    for name in ("b.MP4", "a.gif", "a.mkv", "sub/deep/c.webm", ".x.mp4", ".hidden/x.mp4",
                 "v1.mp4/d.avi", "notes.md", "frames/1.png", "frames/2.JPG", "x_007.png", "README",
                 "a.txt", "b.txt.bak", "sub/deep/d.txt"):  # fmt: skip
        (root / name).touch()
    (tmp_path / "outside.mp4").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "e.mp4").touch()
    links = {"inside.mp4": "b.MP4", "out.mp4": "../outside.mp4", "gone.mp4": "nowhere.mp4",
             "loop.mov": "loop.mov", "sub/more": "../../elsewhere", "dir.mp4": "sub",
             "b.txt": "nowhere.txt"}  # fmt: skip
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(root / "socket.mp4"))
    return root


def test_everything_is_taken_or_named(root: Path) -> None:
    contents = scan(root)
    assert contents.videos == [
        "a.gif", "a.mkv", "b.MP4", "inside.mp4", "out.mp4", "sub/deep/c.webm", "v1.mp4/d.avi",
    ]  # fmt: skip
    assert contents.texts == {"a.gif": "a.txt", "a.mkv": "a.txt"}
    said = {
        "gone.mp4": "a link to nowhere.mp4 that leads to no file; mend or remove it",
        "loop.mov": "a link to loop.mov that leads to no file; mend or remove it",
        "sub/more": "a link to a folder, which is not searched; put the folder itself there",
        "dir.mp4": "a link to a folder, which is not searched; put the folder itself there",
        "v1.mp4": "a folder, not a file; the files in it are searched",
        "pipe.mp4": "a pipe, not a file; remove it",
        "socket.mp4": "a socket, not a file; remove it",
        "b.txt": "its caption is a link to nowhere.txt that leads to no file; mend or remove it",
    }
    assert contents.left_out == said
    assert contents.images == {"frames": 2, "": 1}
    assert contents.others == {".txt": 3, ".bak": 1, ".md": 1, "": 1}
    strict = scan(root, links_out=False)
    assert strict.videos == [path for path in contents.videos if path != "out.mp4"]
    assert strict.left_out.pop("out.mp4").startswith("a link that leads out of root")
    assert strict.left_out == said


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.mp4").touch()
    search = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return search(path)

    monkeypatch.setattr(os, "scandir", refuse)
    contents = scan(tmp_path)
    assert contents.videos == ["a.mp4"]
    assert contents.left_out == {"closed": "a folder that cannot be read (Permission denied)"}


def test_what_there_is_instead(tmp_path: Path) -> None:
    assert scan(tmp_path).describe() == "it is empty"
    for name in ("a.zip", "b.zip", "c", "d.png"):
        (tmp_path / name).touch()
    (tmp_path / "e.mp4").symlink_to("gone")
    said = scan(tmp_path).describe()
    assert said.startswith("it holds 2 .zip files, 1 files without ending, 1 image files; left out")
    assert "e.mp4 (a link to gone that leads to no file" in said


@pytest.mark.parametrize(
    ("first", "video", "pattern"),
    [
        ("v1_0001.png", "v1", "v1_%04d.png"),
        ("00001.jpg", "", "%05d.jpg"),
        ("a cat - 3.png", "a cat", "a cat - %01d.png"),
        ("still.png", "", "*.png"),
        ("sub/v2/007.png", "v2", "sub/v2/%03d.png"),
    ],
)
def test_names_of_frames(tmp_path: Path, first: str, video: str, pattern: str) -> None:
    (tmp_path / first).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / first).touch()
    (tmp_path / "zz").mkdir()
    (tmp_path / "zz" / "0.png").touch()
    assert scan(tmp_path).frame_names() == (first, video, pattern)


def test_videos_of_several_files() -> None:
    paths = ["a.gif", "a.mp4", "b.gif", "sub/a.MKV", "sub/a.webm", "sub/a.GIF", "a.v1.mp4"]
    assert group_by_stem(paths) == {
        "a.mp4": ["a.gif"], "b.gif": [], "sub/a.MKV": ["sub/a.webm", "sub/a.GIF"], "a.v1.mp4": [],
    }  # fmt: skip
