"""A YAML key that is given twice is refused wherever vidiff reads YAML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from vidiff.ablation.ask.file import read_ablation
from vidiff.errors import UsageError
from vidiff.yaml_files import DuplicateKeyError, YamlError, lines_of, load_yaml, read_yaml

ROOT = Path(__file__).parents[1]

TWICE = {
    "trainer: {}\nmodel: {}\ntrainer: {}": ("'trainer'", "lines 1 and 3"),
    "a:\n  b:\n  - c: 1\n    d: 2\n    c: 3": ("'a.b.0.c'", "lines 3 and 5"),
    "a: 1\na: 2\n'a': 3": ("'a'", "3 times, in lines 1, 2 and 3"),
    "1: a\n0x1: b": ("'1'", "lines 1 and 2"),
    "x: {a: 1, a: 2}": ("'x.a'", "in line 1"),
    "x: &x {a: 1}\ny: &y {b: 1}\nz:\n  <<: *x\n  <<: *y": ("'z.<<'", "lines 4 and 5"),
    "x: &x\n  a: 1\ny:\n  <<: *x\n  b: 1\n  b: 2": ("'y.b'", "lines 5 and 6"),
    "on: 1\nyes: 2": ("'on'", "lines 1 and 2"),  # both are true, which is one key to a dict
}


@pytest.mark.parametrize("text", TWICE)
def test_a_key_given_twice_is_named_with_its_lines(text: str) -> None:
    key, lines = TWICE[text]
    with pytest.raises(DuplicateKeyError) as caught:
        load_yaml(text, "my.yaml")
    said = str(caught.value)
    assert said.startswith(f"my.yaml: the key {key} is given")
    assert lines in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "text",
    [
        "base: &base {a: 1, b: 2}\nmine: {<<: *base, a: 3}",
        "one: &one {a: 1}\nmine: {<<: *one, b: 1}\nyours: {<<: *one, a: 2}",
        "one: &one {a: 1}\ntwo: &two {<<: *one, a: 2}\nthree: {<<: [*one, *two], c: 3}",
        "- {a: 1}\n- {a: 2}",
        "a: [&x {b: 1}, *x]",
        "on: 1\n'on': 2",
    ],
)
def test_anchors_merge_keys_and_equal_keys_of_other_mappings_stay(text: str) -> None:
    assert load_yaml(text) == yaml.safe_load(text)


def test_every_yaml_file_of_the_repository_reads_as_before() -> None:
    files = sorted((ROOT / "experiments").rglob("*.yaml")) + sorted(ROOT.glob("plugins/**/*.yaml"))
    assert files
    for path in files:
        assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


def test_what_cannot_be_read_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    for data, said in {
        b"a: 1\nb: caf\xe9\n": "line 2: byte 0xe9 is not text in UTF-8; convert the file: `iconv",
        b"a: 1\nb: [1\n": "no YAML",
        b"- a\n": "no mapping",
    }.items():
        path.write_bytes(data)
        with pytest.raises(YamlError, match=said) as caught:
            read_yaml(path)
        assert str(path) in str(caught.value)
    with pytest.raises(YamlError, match="No such file"):
        read_yaml(tmp_path / "none.yaml")
    path.write_bytes("\ufeffa: 1\n".encode())
    assert read_yaml(path) == {"a": 1}


def test_lines_are_those_of_the_keys() -> None:
    text = "a:\n  b: 1\n\n  c:\n  - d: 1\n  - e: 2\n"
    assert lines_of(text) == {
        ("a",): 1, ("a", "b"): 2, ("a", "c"): 4, ("a", "c", "0"): 5, ("a", "c", "1"): 6,
        ("a", "c", "0", "d"): 5, ("a", "c", "1", "e"): 6,
    }  # fmt: skip
    assert lines_of("") == {}


def test_no_other_module_loads_yaml() -> None:
    for path in [*(ROOT / "vidiff").rglob("*.py"), *(ROOT / "evaluation").rglob("*.py")]:
        loads = re.findall(r"yaml\.(?:safe_load|load|full_load)\(", path.read_text("utf-8"))
        assert not loads or path.name == "yaml_files.py", path


def test_an_ablation_file_with_an_axis_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ablation.yaml"
    path.write_text(
        "question: Which?\nbase: base.yaml\naxes:\n  model.denoiser.depth: [1, 2]\n"
        "  model.denoiser.depth: [1, 3]\nmetrics: {val/loss: lower}\n"
    )
    with pytest.raises(UsageError, match=r"'axes.*depth' is given twice, in lines 4"):
        read_ablation(path)


def test_the_base_config_of_an_ablation_too(tmp_path: Path, capsys: Any) -> None:
    from vidiff.__main__ import main

    (tmp_path / "base.yaml").write_text("model: DiffusionTask\ndata: {}\nmodel: AutoencoderTask\n")
    (tmp_path / "ablation.yaml").write_text(
        "question: Which?\nbase: base.yaml\naxes: {model.denoiser.depth: [1, 2]}\n"
        "metrics: {val/loss: lower}\n"
    )
    assert main(["ablate", str(tmp_path / "ablation.yaml"), "--dry-run"]) == 2
    assert "base.yaml: the key 'model' is given twice, in lines 1 and 3" in capsys.readouterr().err
