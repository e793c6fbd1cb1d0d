"""``vidiff sample`` opens its checkpoint once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_config

from vidiff.__main__ import main

_listeners: list[list[str]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _listeners and isinstance(arguments[0], (str, bytes, os.PathLike)):
        _listeners[-1].append(os.fsdecode(arguments[0]))


sys.addaudithook(_hear)  # stays for the whole process, and hears nothing outside of ``opens_of``


@contextmanager
def opens_of(file: Path) -> Iterator[list[str]]:
    """The names under which a file is opened meanwhile, by any link or path that leads to it.

    Not by a descriptor of this process, which is open already.
    """
    heard: list[str] = []
    found: list[str] = []
    _listeners.append(heard)
    try:
        yield found
    finally:
        _listeners.pop()
        named = [name for name in heard if not name.startswith("/dev/fd/")]
        found += [name for name in named if os.path.realpath(name) == str(file.resolve())]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = write_config(tmp_path_factory.mktemp("run") / "c.yaml")
    assert main(["fit", "-c", str(config)]) == 0
    return config


@pytest.mark.parametrize("word", ["last", "auto", "path"])
def test_sampling_opens_the_checkpoint_once(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    path = config.parent / "run" / "checkpoints" / "last.ckpt"
    asked = str(path) if word == "path" else word
    loads, load = [], torch.load

    def counted(file: Any, *args: Any, **kwargs: Any) -> Any:
        loads.append(kwargs)
        return load(file, *args, **kwargs)

    monkeypatch.setattr(torch, "load", counted)
    words = ["--ckpt_path", asked, "--prompts=x", f"--output={tmp_path / 'samples'}"]
    with opens_of(path) as opens:
        assert main(["sample", "-c", str(config), *words]) == 0
    assert len(opens) == 1
    assert loads == [{"map_location": "cpu", "weights_only": True, "mmap": True}]
    line = json.loads((tmp_path / "samples" / "samples.jsonl").read_text())
    assert line["settings"]["checkpoint_sha256"] == sha256(path.read_bytes()).hexdigest()
    assert line["settings"]["step"] == 2


def test_loading_in_python_opens_the_checkpoint_once(config: Path) -> None:
    import vidiff

    path = config.parent / "run" / "checkpoints" / "last.ckpt"
    with opens_of(path) as opens:
        vidiff.load(path).sample(["x"])  # type: ignore[operator]
    assert len(opens) == 1


def test_what_is_hashed_is_what_was_loaded(tmp_path: Path) -> None:
    from vidiff.checkpoints import CheckpointFile

    path, other = tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    for value, file in enumerate([path, other]):
        torch.save({"state_dict": {"w": torch.full((3,), float(value))}}, file)
    hashed = sha256(path.read_bytes()).hexdigest()
    opened = CheckpointFile(path)
    other.rename(path)
    assert opened.sha256 == hashed
    assert opened.whole["state_dict"]["w"].tolist() == [0, 0, 0]
