"""``vidiff recaption``: a table of rewritten captions that a dataset trains from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from vidiff.__main__ import main
from vidiff.data import VideoFolder
from vidiff.rewriters import Rewritten, Template
from vidiff.video import write_video

RULES = '{"^(\\\\w+) square, left$": "a \\\\1 square moves left"}'
COLOURS = ("red", "green", "blue", "cyan", "pink")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five videos, four of them with captions, two of these from text files."""
    videos = tmp_path / "videos"
    (videos / "deep").mkdir(parents=True)
    for colour in COLOURS:
        write_video(videos / "deep" / f"{colour}.mp4", torch.zeros(3, 4, 16, 16), 8)
    for colour in COLOURS[:2]:
        (videos / "deep" / f"{colour}.txt").write_text(f"{colour} square, left\n")
    rows = [f'deep/{colour}.mp4,"{colour} square, left"' for colour in COLOURS[2:4]]
    (videos / "captions.csv").write_text("\n".join(["path,caption", *rows]) + "\n")
    return videos


def recaption(folder: Path, output: Path, *rest: str) -> int:
    words = ["recaption", str(folder), "--output", str(output), "--rewriter", "template"]
    return main([*words, "--rewriter.rules", RULES, *rest])


def test_a_dataset_trains_from_the_table(folder: Path, capsys: Any) -> None:
    output = folder / "new.jsonl"
    assert recaption(folder, output) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert rows == [
        {
            "path": f"deep/{colour}.mp4",
            "caption": f"a {colour} square moves left",
            "original": f"{colour} square, left",
        }
        for colour in sorted(COLOURS[:4])
    ]
    assert f"next: --data.dataset.captions {output}" in capsys.readouterr().out
    size: dict[str, Any] = {"num_frames": 4, "height": 16, "width": 16}
    for captions in ("new.jsonl", str(output)):
        data = VideoFolder(split="train", root=str(folder), captions=captions, **size)
        found = {data[k].caption for k in range(len(data))}
        assert found == {"", *(row["caption"] for row in rows)}
    with pytest.raises(ValueError, match=r"or a table .*, got 'nw.jsonl': .* does not exist"):
        VideoFolder(split="train", root=str(folder), captions="nw.jsonl", **size)


def test_a_call_that_was_cut_off_goes_on_where_it_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("vidiff.commands.recaption.CHUNK", 1)
    rewrite = Template.rewrite

    def failing(self: Template, prompts: Sequence[str]) -> Iterator[Rewritten]:
        for one in rewrite(self, prompts):
            if len(asked) == 2 and len(prompts) == 4:
                raise KeyboardInterrupt
            asked.append(one.original)
            yield one

    monkeypatch.setattr(Template, "rewrite", failing)
    output = folder / "new.jsonl"
    assert recaption(folder, output) == 130
    assert not output.exists()
    begun = folder / ".new.jsonl.begun"
    with begun.open("a") as file:  # and the last line was cut off
        file.write('{"path": "deep')
    assert recaption(folder, output) == 0
    assert asked == [f"{colour} square, left" for colour in sorted(COLOURS[:4])]
    whole = folder / "whole.jsonl"
    assert recaption(folder, whole) == 0
    assert output.read_bytes() == whole.read_bytes()
    assert not begun.exists()


def test_a_table_that_was_begun_with_another_rewriter_is_refused(folder: Path, capsys: Any) -> None:
    output = folder / "new.jsonl"
    (folder / ".new.jsonl.begun").write_text('{"settings": {}}\n{"path": "a.mp4"}\n')
    assert recaption(folder, output) == 2
    assert "was begun with another rewriter or folder" in capsys.readouterr().err


def test_a_caption_that_is_kept_has_its_reason(folder: Path, capsys: Any) -> None:
    output = folder / "new.jsonl"
    words = ["recaption", str(folder), "--output", str(output), "--rewriter", "chat"]
    address = ["--rewriter.base_url", "http://127.0.0.1:9/v1", "--rewriter.retries", "0"]
    assert main([*words, "--rewriter.model", "any", *address]) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert {row["problem"] for row in rows} == {"the endpoint cannot be reached"}
    assert all(row["caption"] == row["original"] for row in rows)
    assert "4 captions, of which 4 were kept as they are" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a rewriter: --rewriter NAME, one of chat, local, template"),
        (["--rewriter", "templat"], "did you mean 'template'"),
        (["--rewriter", "template", "--rewriter.sed", "1"], "unknown option 'rewriter.sed'"),
        (["--rewriter", "chat"], "missing: rewriter.model; give it"),
        (["--rewriter", "template", "--rewriter.templates", "[a]"], "must each contain {prompt}"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    folder: Path, words: list[str], said: str, capsys: Any
) -> None:
    output = folder / "new.jsonl"
    assert main(["recaption", str(folder), "--output", str(output), *words]) != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not output.exists()


def test_nothing_is_overwritten_and_a_folder_needs_captions(
    folder: Path, tmp_path: Path, capsys: Any
) -> None:
    output = folder / "new.jsonl"
    output.write_text("mine")
    assert recaption(folder, output) == 2
    assert "exists; name another --output" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert recaption(folder, tmp_path / "new.csv") == 2
    assert "--output must end in .jsonl" in capsys.readouterr().err
    (tmp_path / "bare").mkdir()
    assert recaption(tmp_path / "bare", tmp_path / "a.jsonl") == 2
    assert "none of the 0 videos" in capsys.readouterr().err
    assert recaption(tmp_path / "absent", tmp_path / "a.jsonl") == 2
    assert "is not a folder" in capsys.readouterr().err
