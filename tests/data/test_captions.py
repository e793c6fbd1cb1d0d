from __future__ import annotations

import pickle
import sys

import pytest

from vidiff.data.captions import PackedStrings, read_table, read_text


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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("captions.csv", '\ufeffpath,caption\na.mp4,"a dog, running"\n./sub/b.mp4, two  words \n'),
        ("captions.csv", 'caption,path,more\n"a dog, running",a.mp4,x\ntwo words,sub/b.mp4,y\n'),
        (
            "captions.jsonl",
            '{"path": "a.mp4", "caption": "a dog, running", "fps": 3}\n\n'
            '{"path": "sub//b.mp4", "caption": "two\\nwords"}\n',
        ),
    ],
)
def test_tables(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_table(tmp_path) == {"a.mp4": "a dog, running", "sub/b.mp4": "two words"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("captions.csv", "file,text\na.mp4,x\n", "must begin with a line 'path,caption'"),
        ("captions.csv", "", "must begin with a line 'path,caption'"),
        ("captions.csv", "path,caption\na.mp4,a dog, running\n", "line 2: .*double quotes"),
        ("captions.csv", "path,caption\na.mp4\n", "line 2: needs a path and a caption"),
        ("captions.csv", "path,caption\n../a.mp4,x\n", r"line 2: '../a.mp4' must be .* within"),
        ("captions.csv", "path,caption\nb/../../a.mp4,x\n", "line 2: .* must be a path within"),
        ("captions.csv", "path,caption\n/etc/passwd,x\n", "line 2: .* must be a path within"),
        ("captions.csv", "path,caption\na.mp4,x\n./a.mp4,y\n", "line 3: .* has a caption already"),
        ("captions.jsonl", '{"path": "a.mp4"}\n', "line 1: needs an object"),
        ("captions.jsonl", '{"path": "a.mp4", "caption": 3}\n', "line 1: needs an object"),
        ("captions.jsonl", '\n["a.mp4", "x"]\n', "line 2: needs an object"),
        ("captions.jsonl", "a.mp4: x\n", "line 1: needs an object"),
    ],
)
def test_wrong_tables_name_the_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path)


def test_two_tables_are_refused(tmp_path):
    (tmp_path / "captions.csv").write_text("path,caption\n")
    (tmp_path / "captions.jsonl").write_text("")
    with pytest.raises(ValueError, match="keep one"):
        read_table(tmp_path)


def test_text_files_are_one_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff a dog\r\n  runs \xff".encode("utf-8")[:-2] + b"\xff")
    assert read_text(path) == "a dog runs \ufffd"
