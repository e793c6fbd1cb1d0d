"""The one reader of captions and prompts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from unicodedata import normalize

import pytest

from vidiff.ablation.run.folder import prompts_of
from vidiff.captions import file_key, prompt_file, read_list, read_prompts, read_table, text_beside
from vidiff.files import read_text

TEXT = "un café, 漢 😀"
WHOLE = {"a.mp4": "a dog, running", "sub/b.mp4": "two words"}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


# --- encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-be"]
)
def test_marks_say_the_encoding(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith("-be") else ""
    path = write(tmp_path / "a.txt", f"{mark}{TEXT}\r\nb\rc\n", encoding)
    assert read_text(path) == f"{TEXT}\nb\nc\n"
    assert read_list(path) == [TEXT, "b", "c"]


@pytest.mark.parametrize("name", ["p.txt", "p.csv", "p.jsonl"])
@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("cp1252", "line 3: byte 0xe9 .*iconv -f cp1252 -t utf-8"),
        ("utf-16-le", "line 3: byte 0xe9 .*iconv -f utf-16le "),
        ("utf-16-be", "line 3: byte 0xe9 .*iconv -f utf-16be "),
    ],
)
def test_other_encodings_are_refused(tmp_path: Path, name: str, encoding: str, said: str) -> None:
    rows = {"p.csv": "path,caption\n\na.mp4,café\n", "p.jsonl": '{}\n\n"café"\n'}
    path = write(tmp_path / name, rows.get(name, "a\nb\ncafé\n"), encoding)
    with pytest.raises(ValueError, match=f"{path}, {said}"):
        read_list(path)
    with pytest.raises(ValueError, match=f"{path}, {said}"):
        read_prompts(str(path))
    with pytest.raises(ValueError, match=f"samples.prompts: {path}, {said}"):
        prompts_of(str(path))
    if name != "p.txt":
        with pytest.raises(ValueError, match=f"{path}, {said}"):
            read_table(path, tmp_path)


def test_english_in_utf_16_without_a_mark(tmp_path: Path) -> None:
    """It is valid UTF-8, with a NUL after each letter."""
    for encoding in ("utf-16-le", "utf-16-be"):
        path = write(tmp_path / "p.txt", "a dog\na cat", encoding)
        named = encoding.replace("-", "", 2).replace("utf", "utf-")
        with pytest.raises(ValueError, match=f"line 1: a NUL .*iconv -f {named} "):
            read_text(path)


def test_the_command_that_is_named_converts(tmp_path: Path) -> None:
    path = write(tmp_path / "my file.txt", "un café", "cp1252")
    with pytest.raises(ValueError, match="iconv") as refused:
        read_text(path)
    command = str(refused.value).split("`")[1]
    assert os.system(f"cd {tmp_path} && {command}") == 0
    assert read_text(tmp_path / "utf8.txt") == "un café"


def test_damage_within_an_encoding_that_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\xfea\0\n\0b")
    with pytest.raises(ValueError, match="line 2: byte 0x62 is not text in UTF-16"):
        read_text(path)
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory\)"):
        read_text(tmp_path)


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'path,caption\na.mp4,"a dog, running"\n./sub/b.mp4, two  words \n'),
        ("t.CSV", 'caption, path ,more\r\n"a dog, running",a.mp4,x\r\ntwo words,sub/b.mp4,y\r\n'),
        ("t.csv", 'file,prompt\rsub\\b.mp4,"two\rwords"\r\ra.mp4, "a dog, running"'),
        ("t.csv", "path,caption\na.mp4,a dog, running\n".replace("dog,", "dog\\,"),),
        ("t.jsonl", '{"path": "a.mp4", "caption": "a dog, running", "fps": 3}\n\n'
                    '{"path": "sub//b.mp4", "caption": "two\\nwords"}\n'),
        ("t.jsonl", '{"file": "a.mp4", "prompt": "a dog, running"}\n'
                    '{"file": "sub\\\\b.mp4", "path": "", "caption": "two\u2028words"}'),
    ],
)  # fmt: skip
def test_tables(tmp_path: Path, name: str, text: str) -> None:
    table = write(tmp_path / name, text)
    if "\\," in text:
        with pytest.raises(ValueError, match="line 2: more cells"):
            read_table(table, tmp_path)
        return
    assert read_table(table, tmp_path) == WHOLE
    assert sorted(read_list(table)) == sorted(WHOLE.values())
    assert sorted(read_prompts(str(table))) == sorted(WHOLE.values())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "name,text\na.mp4,x\n", "must begin with a line 'path,caption': no column 'path"),
        ("t.csv", "", "must begin with a line 'path,caption'"),
        ("t.csv", "path;caption\na.mp4;x\n", "';' between cells, not commas"),
        ("t.csv", "path,caption,caption\na.mp4,x,y\n", "line 1: two columns are called 'caption'"),
        ("t.csv", "path,caption\na.mp4,a dog, running\n", "line 2: more cells .*double quotes"),
        ("t.csv", "path,caption\n\n\na.mp4\n", "line 4: needs a path and a caption"),
        ("t.csv", "path,caption\n,x\n", "line 2: needs a path and a caption"),
        ("t.csv", "path,caption\na.mp4,x\n./a.mp4,y\n", "line 3: .* has a caption already"),
        ("t.csv", "path,caption\na.mp4,x\n.\\a.mp4,y\n", "line 3: .* has a caption already"),
        ("t.jsonl", '{"path": "a.mp4"}\n', "line 1: needs a path and a caption"),
        ("t.jsonl", '{"path": "a.mp4", "caption": 3}\n', "line 1: needs a path and a caption"),
        ("t.jsonl", '{"path": "a.mp4", "caption": null}\n', "line 1: needs a path and a caption"),
        ("t.jsonl", '\n["a.mp4", "x"]\n', "line 2: needs an object .*got"),
        ("t.jsonl", "a.mp4: x\n", "line 1: needs an object .*no JSON"),
    ],
)
def test_wrong_tables_name_the_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    table = write(tmp_path / name, text)
    with pytest.raises(ValueError, match=f"{table}.*{message}"):
        read_table(table, tmp_path)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (["a.mp4,x", 'b.mp4,"y', "c.mp4,z", "d.mp4,z"], 3),  # to the end
        (['a.mp4,"x', 'b.mp4,"y"', "c.mp4,z"], 2),  # to the next quote
        (["a.mp4,x", "", 'b.mp4,"y', 'c.mp4,z"', "d.mp4,z"], 4),  # to one that ends a cell
        (["a.mp4,x", 'b.mp4,"a "big" dog"'], 3),
        (['a.mp4,"two', 'lines"', 'b.mp4,"y'], 4),
        (['a.mp4,"x', *(f"{k}.mp4,{'y' * 1000}" for k in range(200))], 2),  # csv's own limit
    ],
)
def test_quotes_are_refused_where_they_open(tmp_path: Path, rows: list[str], line: int) -> None:
    table = write(tmp_path / "t.csv", "\n".join(["path,caption", *rows]) + "\n")
    with pytest.raises(ValueError, match=f"line {line}: a quote that opens here"):
        read_table(table, tmp_path)
    with pytest.raises(ValueError, match=f"line {line}: a quote that opens here"):
        read_list(table)


def test_quotes_that_are_right(tmp_path: Path) -> None:
    text = 'path,caption\na.mp4,"a ""big""\ndog, b.mp4 too"\nb.mp4,5" of rain\n'
    table = write(tmp_path / "t.csv", text)
    captions = read_table(table, tmp_path)
    assert captions == {"a.mp4": 'a "big" dog, b.mp4 too', "b.mp4": '5" of rain'}


def test_the_same_caption_twice_is_one(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "path,caption\na.mp4,a  dog\n./a.mp4,a dog\n")
    assert read_table(table, tmp_path) == {"a.mp4": "a dog"}


# --- paths ---------------------------------------------------------------------------------------


def test_paths_within_the_root(tmp_path: Path) -> None:
    root, link = tmp_path / "root", tmp_path / "link"
    (root / "sub").mkdir(parents=True)
    link.symlink_to(root)
    names = ["./a  b.mp4", f"{root}/b.mp4", f"{link}/sub/c.mp4", "sub\\d.mp4"]
    names.append(f"{root}//sub/./e.mp4")
    rows = [json.dumps({"path": name, "caption": str(k)}) for k, name in enumerate(names)]
    table = write(root / "captions.jsonl", "\n".join(rows))
    found = {"a  b.mp4": "0", "b.mp4": "1", "sub/c.mp4": "2", "sub/d.mp4": "3", "sub/e.mp4": "4"}
    assert read_table(table, root) == read_table(table, link) == found
    assert read_table(table, Path(os.path.relpath(root))) == found


@pytest.mark.parametrize(
    "path", ["../a.mp4", "b/../../a.mp4", "/etc/passwd", "C:\\a.mp4", "\\\\host\\a.mp4", "."]
)
def test_paths_that_lead_out(tmp_path: Path, path: str) -> None:
    row = json.dumps({"path": path, "caption": "x"})
    table = write(tmp_path / "t.jsonl", f'{{"path": "a.mp4", "caption": "y"}}\n{row}')
    with pytest.raises(ValueError, match=r"line 2: .* must be a path within .*, without '\.\.'"):
        read_table(table, tmp_path)
    assert read_table(table, tmp_path, outside="skip") == {"a.mp4": "y"}


def test_accents_may_be_apart(tmp_path: Path) -> None:
    one, other = (normalize(form, "Dvořák/é.mp4") for form in ("NFC", "NFD"))
    assert one != other
    assert file_key(one) == file_key(other)
    for name, form in (("NFC", "NFD"), ("NFD", "NFC")):
        folder = tmp_path / name
        folder.mkdir()
        text = write(folder / normalize(form, "é.v1.txt"), "x")
        assert text_beside(folder / normalize(name, "é.v1.mp4")) == text
        assert text_beside(folder / "e.mp4") is None
    frames = write(tmp_path / "v1.0.txt", "x")
    assert text_beside(tmp_path / "v1.0") == frames


# --- prompts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("a; b ;", ["a", "b"]),
        ("\ufeffa dog", ["a dog"]),
        ("a cat runs. a dog", ["a cat runs. a dog"]),
        ("a cat and/or a dog. v1.5", ["a cat and/or a dog. v1.5"]),
        ("dog.", ["dog."]),
        ("207", ["207"]),
        ("~5 cats run", ["~5 cats run"]),
        ("red/blue;", ["red/blue"]),
        ("p.csv;", ["p.csv"]),
        ("one/two;three/four", ["one/two", "three/four"]),
        ("x" * 5000, ["x" * 5000]),
        ("a " * 200 + "/b", ["a " * 200 + "/b"]),
        ("一只狗在跑", ["一只狗在跑"]),
    ],
)
def test_prompts_that_are_written_out(text: str, prompts: list[str]) -> None:
    assert prompt_file(text) is None
    assert read_prompts(text) == prompts
    assert prompts_of(text) == text


@pytest.mark.parametrize(
    "text",
    ["p.csv", "p.cvs", "P.TXT", "my prompts.txt", "prompts/all", "~/p.lst", "./p", "/p q", "..\\p",
     "a.txt;b.txt", "C:\\my prompts"],
)  # fmt: skip
def test_what_looks_like_a_file_and_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for read in (read_prompts, prompts_of):
        with pytest.raises(ValueError, match=r"file of prompts .* does not exist; .* semicolon"):
            read(text)


def test_files_of_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("p.txt", "p", "my list.TXT", "p.lst"):
        text = write(Path(name), "\ufeffa red square; still\n\n  b\u2028c \n")
        named = f"./{name}"
        assert read_prompts(named) == ["a red square; still", "b\u2028c"]
        assert prompts_of(named) == read_text(text)
    assert read_prompts("p.txt") == read_prompts(str(tmp_path / "p.txt"))
    with pytest.raises(ValueError, match=r"write './p' for the file, 'p;' for the text"):
        read_prompts("p")
    write(Path("p.csv"), "n,prompt\n1,\ufeffa\n")
    write(Path("p.jsonl"), '\ufeff{"prompt": "a"}\n{"caption": "b"}\n')
    assert read_prompts("p.jsonl") == ["a", "b"]
    Path("d.csv").mkdir()
    with pytest.raises(ValueError, match=r"d\.csv is a folder"):
        read_prompts("d.csv")
    assert prompt_file("p.csv") == Path("p.csv")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.txt", " \n\n", "prompts .*p.txt are empty"),
        ("p.csv", "prompt\n", "prompts .*p.csv are empty"),
        ("p.csv", "path\na.mp4\n", "must begin with a line 'caption': no column 'caption'"),
        ("p.jsonl", "{}\n", "line 1: needs a caption"),
        ("p.json", '["a"]', r"\.json is not read; save them as \.txt, \.csv, \.jsonl"),
        ("p.tsv", "a", r"\.tsv is not read"),
    ],
)
def test_files_without_prompts(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_prompts(str(write(tmp_path / name, text)))


def test_no_prompt() -> None:
    for text in ("", " ;; "):
        with pytest.raises(ValueError, match="no prompt in"):
            read_prompts(text)
