from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import run as run_python

from vidiff.plugins import load_all
from vidiff.registry import list_kinds

Run = Callable[..., subprocess.CompletedProcess[str]]
Refused = Callable[..., str]


@pytest.fixture
def vidiff(tmp_path: Path) -> Run:
    """The program in a process of its own, in an empty folder."""

    def run(*words: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {} if path is None else {"PYTHONPATH": str(path)}
        return run_python("-m", "vidiff", *words, env=environment, cwd=tmp_path)

    return run


@pytest.fixture
def block_file(tmp_path: Path) -> Path:
    """A plugin that is a single file, with an attention layer called ``loose``."""
    file = tmp_path / "blocks" / "loose_block.py"
    file.parent.mkdir()
    file.write_text(
        "from vidiff.attention import Full\n"
        "from vidiff.registry import register\n\n\n"
        '@register("loose")\n'
        "class Loose(Full):\n"
        '    """Full attention under another name."""\n'
    )
    return file


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run a command that must be refused before anything is built; returns the error's one line."""
    from vidiff.__main__ import main
    from vidiff.cli.model import VidiffCLI

    def build(cli: VidiffCLI) -> None:
        raise AssertionError("something was built")

    def run(*words: object) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(VidiffCLI, "instantiate_classes", build)
            capsys.readouterr()
            assert main([str(word) for word in words]) == 2
        error = capsys.readouterr().err
        line = error.splitlines()[-1]
        assert line.startswith("vidiff: error: "), error
        assert "Traceback" not in error
        return line.removeprefix("vidiff: error: ")

    return run


@pytest.fixture
def forget_plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Forget what a test imported from its own folder, and registered."""
    load_all()
    known = {kind.name: set(kind.components) for kind in list_kinds()}
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for kind in list_kinds():
        for name in set(kind.components) - known[kind.name]:
            del kind.components[name]
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
