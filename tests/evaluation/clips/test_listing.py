"""Which videos of a folder are measured: each once, and what is left out is named."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest
import torch
from PIL import Image

from vidiff.__main__ import main
from vidiff.data import VideoFolder
from vidiff.video import read_clip, write_frames, write_video
from vidiff_eval.clips.choose import choose_clips
from vidiff_eval.clips.listing import list_videos
from vidiff_eval.protocols.protocol import Protocol

MakeVideo = Callable[..., Path]
MakeSamples = Callable[..., Path]
TIMES = [k / 10 for k in range(6)]
START = Protocol(num_frames=4, real_clip="start", generated_clip="start")


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def names(folder: Path, prompts: Path | None = None) -> dict[str, str]:
    return {file.file: file.prompt for file in list_videos(folder, prompts).files}


# --- each video once -----------------------------------------------------------------------------


def sampled(samples: MakeSamples, folder: Path, prompts: list[str], seed: int) -> Path:
    """A samples folder with an mp4 and a gif of each video, as ``vidiff sample`` wrote them."""
    generator = torch.Generator().manual_seed(seed)
    grey = torch.rand(len(prompts), 1, 6, 4, 4, generator=generator) * 2 - 1
    samples(folder, grey.expand(-1, 3, -1, -1, -1), prompts, scale=8)
    for path in sorted(folder.glob("*.mp4")):
        write_video(path.with_suffix(".gif"), read_clip(path, num_frames=6), fps=8)
    Image.new("RGB", (8, 8)).save(folder / "contact_sheet.png")
    return folder


def test_several_sample_folders_in_one(tmp_path: Path, samples: MakeSamples) -> None:
    for seed, name in enumerate(["s2", "s10", "more/s3"]):
        sampled(samples, tmp_path / "all" / name, ["a cat", "a dog"], seed)
    chosen = choose_clips(tmp_path / "all", START, side="generated")
    assert [(clip.id, clip.video.prompt) for clip in chosen.clips] == [
        (f"{name}/000{k}.mp4", prompt)
        for name in ("more/s3", "s2", "s10")
        for k, prompt in enumerate(["a cat", "a dog"])
    ]
    assert not chosen.notes
    assert not chosen.skipped
    alone = choose_clips(tmp_path / "all" / "s2", START, side="generated")
    inside = [clip for clip in chosen.clips if clip.id.startswith("s2/")]
    assert [clip.key for clip in inside] == [clip.key for clip in alone.clips], "scale is read too"
    assert torch.equal(inside[0].read(), alone.clips[0].read())


def test_videos_beside_sample_folders_count_too(
    tmp_path: Path, samples: MakeSamples, make_video: MakeVideo
) -> None:
    sampled(samples, tmp_path / "all" / "s1", ["a cat"], 0)
    make_video(tmp_path / "all" / "x.mp4", TIMES)
    write(tmp_path / "all" / "captions.csv", "path,caption\nx.mp4,a bird\n")
    assert names(tmp_path / "all") == {"s1/0000.mp4": "a cat", "x.mp4": "a bird"}


def test_sampling_that_has_not_finished_is_said(tmp_path: Path, samples: MakeSamples) -> None:
    folder = sampled(samples, tmp_path / "all" / "s1", ["a cat", "a dog"], 0)
    (folder / "sampling.json").write_text("{}")
    assert not list_videos(tmp_path / "all").notes
    (folder / "samples.jsonl").unlink()
    for asked, files in ((folder, "0000.mp4"), (tmp_path / "all", "s1/0000.mp4")):
        listing = list_videos(asked)
        assert listing.files[0].file == files
        assert len(listing.files) == 2
        assert any(note.startswith(f"`vidiff sample` has not finished in {folder}")
                   for note in listing.notes)  # fmt: skip


def test_files_that_differ_in_the_ending_alone(
    tmp_path: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    for number, name in enumerate(["a.mp4", "sub/a.mkv", "sub/a.avi"]):
        make_video(tmp_path / name, TIMES[: 6 - number])
    for number, name in enumerate(["a.gif", "b.gif", "sub/a.gif"]):
        write_video(tmp_path / name, torch.rand(3, 4 + number, 8, 8), fps=8)
    chosen = choose_clips(tmp_path, START, side="generated")
    assert [clip.id for clip in chosen.clips] == ["a.mp4", "b.gif", "sub/a.mkv"]
    (note,) = chosen.notes
    assert note.startswith("3 files only differ from another in the ending (a.gif from a.mp4)")
    assert note in caplog.text
    # A table may name any of them; that of the one that is read comes first.
    table = "path,caption\na.gif,x\nb.gif,y\nsub/a.gif,z\nsub/a.mkv,w\n"
    assert list(names(tmp_path, write(tmp_path / "p.csv", table)).values()) == ["x", "y", "w"]
    assert len(names(tmp_path, write(tmp_path / "p.txt", "x\ny\nz\n"))) == 3
    write(tmp_path / "captions.csv", table)
    assert list(names(tmp_path).values()) == ["x", "y", "w"]
    assert len(list_videos(tmp_path).notes) == 1


def test_copies_are_said(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "a.mp4", TIMES)
    make_video(tmp_path / "b.mp4", TIMES[:5])
    shutil.copy(tmp_path / "a.mp4", tmp_path / "c.mp4")
    (note,) = choose_clips(tmp_path, START, side="real").notes
    assert note.startswith("1 files are copies of another (c.mp4 of a.mp4)")


def test_an_index_of_another_system(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "a.mp4", TIMES)
    row = json.dumps({"file": "a.mp4", "prompt": "café\u2028x"}, ensure_ascii=False)
    write(tmp_path / "samples.jsonl", f"{row}\r\n", "utf-16")
    assert names(tmp_path) == {"a.mp4": "café\u2028x"}
    write(tmp_path / "samples.jsonl", row.replace("\u2028", ""), "cp1252")
    with pytest.raises(ValueError, match=r"samples.jsonl, line 1: byte 0xe9 .*iconv"):
        list_videos(tmp_path)


# --- captions ------------------------------------------------------------------------------------


def test_training_and_evaluation_read_the_same_captions(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    for name in ("é.mp4", "sub/b.mp4", "c.v1.mp4", "d.mp4", "ü.mp4"):
        make_video(tmp_path / normalize("NFD", name), TIMES)
    rows = ["é.mp4,a;b", "sub\\b.mp4,two  words", f"{tmp_path}/d.mp4,"]
    write(tmp_path / "captions.csv", "\r".join(["file,prompt", *rows]), "utf-16")
    write(tmp_path / "c.v1.txt", "a\ndog", "utf-8-sig")
    write(tmp_path / "ü.txt", "naïve")
    dataset = VideoFolder(split="train", root=str(tmp_path), num_frames=2, height=8, width=8)
    trained = {sample.id.partition("#")[0]: sample.caption for sample in dataset}
    assert names(tmp_path) == trained
    assert sorted(trained.values()) == ["", "a dog", "a;b", "naïve", "two words"]


def test_a_table_that_covers_more_than_the_folder(tmp_path: Path, make_video: MakeVideo) -> None:
    for part in ("train", "val"):
        make_video(tmp_path / part / "a.mp4", TIMES)
    rows = [f"{tmp_path}/{part}/a.mp4,{part}" for part in ("train", "val")]
    table = write(tmp_path / "all.csv", "\n".join(["path,caption", *rows, "../x.mp4,no"]))
    assert names(tmp_path / "val", table) == {"a.mp4": "val"}
    with pytest.raises(ValueError, match="all for files out of"):
        list_videos(tmp_path / "val", write(tmp_path / "p.csv", "path,caption\n../x.mp4,x"))
    with pytest.raises(ValueError, match=r"the prompt of a\.mp4 is empty"):
        list_videos(tmp_path / "val", write(tmp_path / "p.csv", "path,caption\na.mp4,"))


def test_texts_that_cannot_be_read_are_all_named(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ("a", "b"):
        make_video(tmp_path / f"{name}.mp4", TIMES)
        write(tmp_path / f"{name}.txt", "café", "cp1252")
    with pytest.raises(ValueError, match=r"a\.txt, line 1: .*iconv.*b\.txt, line 1: .*iconv"):
        list_videos(tmp_path)
    # Prompts that are given take their place, so nobody reads them.
    write(tmp_path / "captions.csv", "café", "cp1252")
    assert names(tmp_path, write(tmp_path / "p.txt", "x\ny")) == {"a.mp4": "x", "b.mp4": "y"}


def test_captions_of_other_files_are_said(
    tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "v" / "a.mp4", TIMES)
    write(tmp_path / "v" / "captions.csv", "path,caption\nv/a.mp4,x\n")
    words = ["--metrics=motion", "--protocol=whole", f"--store={tmp_path / 'store'}"]
    output = str(tmp_path / "out")
    assert main(["evaluate", "--generated", str(tmp_path / "v"), "--output", output, *words]) == 0
    said = "v: the captions are of other files: none of 1 rows names one that is there"
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (note,) = report["groups"]["v"]["notes"]
    assert f"v: {note}" in report["warnings"]
    assert said in capsys.readouterr().out


# --- frames --------------------------------------------------------------------------------------


def frames(folder: Path, count: int = 5) -> None:
    write_frames(folder, torch.zeros(3, count, 8, 8))


def test_folders_of_frames_beside_a_video_are_said(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ("v1", "v2"):
        frames(tmp_path / name)
    Image.new("RGB", (8, 8)).save(tmp_path / "cover.png")
    assert list(names(tmp_path)) == ["v1", "v2"]
    assert not list_videos(tmp_path).notes
    make_video(tmp_path / "x.mp4", TIMES)
    listing = list_videos(tmp_path)
    assert [file.file for file in listing.files] == ["x.mp4"]
    assert listing.notes[0].startswith("10 images in v1, v2 are not read, since x.mp4 is a video")


def test_frames_that_lie_flat(tmp_path: Path) -> None:
    frames(tmp_path / "v1")
    for path in (tmp_path / "v1").iterdir():
        shutil.copy(path, tmp_path / f"v2_{path.name}")
    (note,) = list_videos(tmp_path).notes
    assert note.startswith(f"5 images in {tmp_path} are not read, since v1 is a video next to them")
    shutil.rmtree(tmp_path / "v1")
    with pytest.raises(ValueError, match="it holds 5 image files") as refused:
        list_videos(tmp_path)
    assert "put v2_00000.png and the other frames of v2 into a folder v2" in str(refused.value)
    with pytest.raises(ValueError, match="it holds 5 image files") as refused:
        VideoFolder(split="train", root=str(tmp_path))
    assert "ffmpeg -framerate 25 -i v2_%05d.png v2.mp4" in str(refused.value)


def test_captions_of_folders_of_frames(tmp_path: Path) -> None:
    for name in ("v1.0", "v2.mp4", "v3"):
        frames(tmp_path / name)
    write(tmp_path / "v1.0.txt", "one")
    write(tmp_path / "v2.txt", "two")
    write(tmp_path / "captions.csv", "path,caption\nv3/,three\n")
    assert names(tmp_path) == {"v1.0": "one", "v2.mp4": "two", "v3": "three"}
    assert not list_videos(tmp_path).left_out


# --- links and special files ---------------------------------------------------------------------


def test_what_is_no_file_is_left_out_and_named(
    tmp_path: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "root"
    make_video(tmp_path / "elsewhere" / "x.mp4", TIMES)
    make_video(root / "a.mp4", TIMES)
    (root / "gone.mp4").symlink_to("nowhere.mp4")
    (root / "part").symlink_to(tmp_path / "elsewhere")
    (root / "chosen.mp4").symlink_to(tmp_path / "elsewhere" / "x.mp4")
    (root / "v.mp4").mkdir()
    os.mkfifo(root / "pipe.mp4")
    chosen = choose_clips(root, START, side="real")
    assert [clip.id for clip in chosen.clips] == ["a.mp4", "chosen.mp4"]
    assert chosen.skipped.keys() == {"gone.mp4", "part", "v.mp4", "pipe.mp4"}
    assert "gone.mp4 is left out: a link to nowhere.mp4 that leads to no file" in caplog.text
    (root / "a.mp4").unlink()
    (root / "chosen.mp4").unlink()
    with pytest.raises(ValueError, match=r"no video that can be read \(left out: gone\.mp4 \(a li"):
        list_videos(root)


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes on POSIX alone")
def test_a_name_that_is_not_utf_8(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_video(tmp_path / "v" / "a.mp4", TIMES)
    os.rename(tmp_path / "v" / "a.mp4", os.fsencode(tmp_path / "v") + b"/caf\xe9.mp4")
    Path(os.fsdecode(os.fsencode(tmp_path / "v") + b"/\xe4.mp4")).touch()
    printed = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr("sys.stdout", printed)
    words = ["--metrics=motion", "--protocol=whole", f"--store={tmp_path / 'store'}"]
    words += ["--generated", str(tmp_path / "v"), "--output", str(tmp_path / "out")]
    assert main(["evaluate", *words]) == 0
    assert (tmp_path / "out" / "report.html").is_file()
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    (left,) = report["groups"]["v"]["skipped"]
    assert os.fsencode(left["file"]) == b"\xe4.mp4"
    printed.flush()
    assert b"1 files could not be used (\\udce4.mp4)" in printed.buffer.getvalue()  # type: ignore[attr-defined]
