"""``vidiff check``, and what an author of a part is told of a mistake, by command and in a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import write_config

from vidiff.__main__ import main

pytestmark = pytest.mark.usefixtures("forget_plugins")

BLOCK = '''"""Attention whose output each token gates."""

from torch import nn

from vidiff.attention import Attention, Full
from vidiff.registry import register


@register("gated")
class Gated(Attention):
    """Full attention behind a gate of each token's own.

    Args:
        gain: factor of the gate.
    """

    def __init__(self, *, width: int, num_heads: int, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.full = Full(width=width, num_heads=num_heads)
        self.gate = nn.Linear(width, width)

    def forward(self, tokens, layout, mask=None):
        return self.gain * self.gate(tokens).sigmoid() * self.full(tokens, layout, mask)
'''


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write the block with changes into the working folder; its name."""
    monkeypatch.chdir(tmp_path)

    def block(name: str = "gated_block.py", **changes: tuple[str, str]) -> str:
        text = BLOCK
        for old, new in changes.values():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
        return name

    return block


def lines(capsys: Any) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_a_file_that_keeps_its_promises(write: Any, capsys: Any) -> None:
    assert main(["check", write()]) == 0
    assert lines(capsys) == ["ok      attention 'gated' (gated_block.py:9)"]
    assert main(["check", "gated", "--plugins", "gated_block.py", "--settings", "{gain: 2}"]) == 0
    assert main(["check", "attention.full", "schedule.edm", "--json"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out[out.index("[") :])
    assert [(one["kind"], one["name"], one["problem"]) for one in found] == [
        ("attention", "full", None), ("schedule", "edm", None),
    ]  # fmt: skip


MISTAKES = {
    "no docstring line": (
        ("        gain: factor of the gate.\n", ""), 9, "has no line under Args: for gain"
    ),
    "no type": (("gain: float = 1.0", "gain=1.0"), 9, "no type for gain"),
    "no plain default": (("gain: float = 1.0", "gain: object = print"), 9, "is no plain value"),
    "wrong shape": (
        ("return self.gain *", "return self.gain * tokens.new_ones(2, 1, 1, 1) *"),
        9, "tokens must be (2, 24, 24), got (2, 2, 24, 24)",
    ),
    "error": (("sigmoid() *", "sigmoid()[:, 2:] *"), 24, "RuntimeError: The size of tensor a"),
    "constructor": (("nn.Linear(width, width)", "nn.Linear(width)"), 21, "TypeError: "),
    "arguments": (("layout, mask=None", "layout, padding"), 23, "TypeError: Gated.forward()"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_with_component_file_and_line(
    mistake: str, write: Any, capsys: Any
) -> None:
    change, line, said = MISTAKES[mistake]
    assert main(["check", write(change=change)]) == 1
    (told,) = lines(capsys)
    assert told.startswith(f"broken  attention 'gated' (gated_block.py:{line}): ")
    assert said in told


def test_what_cannot_be_loaded_or_registers_nothing_is_named(write: Any, capsys: Any) -> None:
    abstract = write("abstract_block.py", change=("def forward", "def forwards"))
    Path("nothing.py").write_text("x = 1\n")
    assert main(["check", abstract, "nothing.py", "attention.full"]) == 1
    told = lines(capsys)
    assert "attention 'gated' (abstract_block.Gated) is abstract: implement forward" in told[0]
    assert told[0].endswith("abstract_block.py, line 9)")
    assert "nothing.py: registers no component: put @register" in told[1]
    assert told[2].startswith("ok      attention 'full'")


def test_arguments_that_are_needed_or_not_known(capsys: Any) -> None:
    assert main(["check", "autoencoder.trained"]) == 1
    assert "not built: give --settings '{checkpoint: …}'" in lines(capsys)[0]
    words = ["check", "attention.windowed", "--settings"]
    assert main([*words, "{window: [1, 2, 2]}"]) == 0
    for settings, said in (
        ("{windo: 1}", "unknown option 'settings.windo', did you mean 'window'?"),
        ("{window: x}", "settings.window: expected tuple, got x"),
        ("[1]", "--settings must be like '{depth: 2}'"),
    ):
        assert main([*words, settings]) == 2
        assert said in capsys.readouterr().err
    assert main(["check", "full", "edm", "--settings", "{a: 1}"]) == 2
    assert main(["check", "fulll"]) == 2
    assert "unknown component 'fulll', did you mean 'full'?" in capsys.readouterr().err


@pytest.mark.parametrize("mistake", ["constructor", "error", "arguments"])
def test_in_a_run_it_is_one_line_that_names_the_check(
    mistake: str, write: Any, capsys: Any, tmp_path: Path
) -> None:
    change, line, said = MISTAKES[mistake]
    config = write_config(tmp_path / "config.yaml")
    words = ["-c", str(config), "--plugins", write(change=change)]
    assert main(["fit", *words, "--model.denoiser.attention", "gated"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"vidiff: error: attention 'gated' (gated_block.py:{line}): ")
    assert said in told
    assert "`vidiff check gated_block.py` shows more" in told
    with pytest.raises((TypeError, RuntimeError)):
        main(["fit", *words, "--debug", "--model.denoiser.attention", "gated"])
