"""The precision of a run stands in its config, and goes with its checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny import write_config

from vidiff import precision
from vidiff.__main__ import main


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes this CPU one that is fast in bf16, or one that is not."""

    def pretend(fast: bool) -> None:
        monkeypatch.setattr(precision, "_bf16_of_cpu", lambda: (fast, "so it is said"))

    return pretend


def trained_in(run: Path) -> str:
    """What ``run.json`` and the last checkpoint agree on."""
    recorded = json.loads((run / "run.json").read_text())["devices"]["precision"]
    stored = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert stored["callbacks"]["KeepPrecision"] == {"precision": recorded}
    return str(recorded)


def test_a_run_goes_on_in_its_precision_on_another_machine(
    tmp_path: Path, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run = str(write_config(tmp_path / "tiny.yaml")), tmp_path / "run"
    said: list[str] = []
    monkeypatch.setattr("vidiff.training.callbacks.precision.rank_zero_info", said.append)
    machine(True)
    assert main(["fit", "-c", config]) == 0
    assert "precision: bf16-mixed (so it is said)" in said
    saved = yaml.safe_load((run / "config.yaml").read_text())["trainer"]
    assert saved["precision"] == trained_in(run) == "bf16-mixed"
    machine(False)
    words = ["fit", "-c", config, "--ckpt_path=last"]
    with pytest.warns(UserWarning, match="bf16-mixed is slow here.*set trainer.precision"):
        assert main([*words, "--trainer.max_steps=3"]) == 0
    assert trained_in(run) == "bf16-mixed"
    with pytest.warns(UserWarning, match="32-true from here on, and was bf16-mixed"):
        assert main([*words, "--trainer.max_steps=4", "--trainer.precision=32-true"]) == 0
    assert trained_in(run) == "32-true"
    machine(True)
    said.clear()
    assert main([*words, "--trainer.max_steps=5"]) == 0
    assert "precision: 32-true (as in the checkpoint)" in said
    assert trained_in(run) == "32-true"


def test_what_a_cpu_cannot_keep_is_refused_with_what_to_do(
    tmp_path: Path, machine: Any, refused: Any
) -> None:
    config, run = str(write_config(tmp_path / "tiny.yaml")), tmp_path / "run"
    machine(False)
    assert main(["fit", "-c", config]) == 0
    last = run / "checkpoints" / "last.ckpt"
    stored = torch.load(last, weights_only=True)
    stored["callbacks"]["KeepPrecision"]["precision"] = "16-mixed"
    torch.save(stored, last)
    error = refused("fit", "-c", config, "--ckpt_path=last")
    assert "was trained in 16-mixed, which a CPU does not have" in error
    assert "--trainer.precision 32-true" in error
    words = ["--trainer.max_steps=3", "--trainer.precision=32-true"]
    assert main(["fit", "-c", config, "--ckpt_path=last", *words]) == 0


def test_encoding_goes_on_in_its_precision_on_another_machine(
    tmp_path: Path, machine: Any, capsys: Any
) -> None:
    config, cache = str(write_config(tmp_path / "tiny.yaml")), tmp_path / "cache"
    words = ["encode", "-c", config, "--output", str(cache)]
    machine(True)
    assert main([*words, "--splits=val"]) == 0
    machine(False)
    assert main([*words, "--splits=train"]) == 0
    assert json.loads((cache / "index.json").read_text())["precision"] == "bf16-mixed"
    capsys.readouterr()
    assert main([*words, "--splits=test", "--trainer.precision=32-true"]) == 2
    assert "trainer.precision ('bf16-mixed' and '32-true')" in capsys.readouterr().err


def test_a_misspelt_precision_is_refused(tmp_path: Path, refused: Any) -> None:
    config = write_config(tmp_path / "tiny.yaml")
    for key, wrong, right in (("precision", "atuo", "auto"), ("matmul_precision", "hihg", "high")):
        said = refused("fit", "-c", config, f"--trainer.{key}={wrong}")
        assert f"trainer.{key}" in said.split(": ")[0]
        assert wrong in said
        assert right in said.replace(wrong, "")
