"""Commands end by saying where they wrote and what to type next, and that can be typed."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
from tiny import write_config

from vidiff.__main__ import main
from vidiff.training.callbacks import SaveCheckpoint


def said(capsys: Any, *words: object, code: int = 0) -> list[str]:
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    captured = capsys.readouterr()
    return (captured.err if code else captured.out).splitlines()


def next_words(lines: list[str]) -> list[str]:
    command = next(line for line in reversed(lines) if line.startswith("next: "))
    words = shlex.split(command.removeprefix("next: "))
    assert words[0] == "vidiff"
    return words[1:]


def test_fit_sample_and_encode_say_where_they_wrote_and_what_comes_next(
    tmp_path: Path, capsys: Any
) -> None:
    config, run = write_config(tmp_path / "c.yaml"), tmp_path / "run"
    lines = said(capsys, "fit", "-c", config)
    assert f"written: {run / 'checkpoints' / 'last.ckpt'} (step 2)" in lines
    lines = said(capsys, *next_words(lines))  # samples
    written = [line.split()[1].rstrip(",") for line in lines if line.startswith("written: ")]
    assert len(written) == 2
    assert all(Path(path).is_file() for path in written)
    assert next_words(lines)[0] == "evaluate"
    lines = said(capsys, "encode", "-c", config, "--output", tmp_path / "latents")
    assert f"written: {tmp_path / 'latents' / 'index.json'}, and the shards that it lists" in lines
    words = next_words(lines)
    assert main([*words, f"--trainer.default_root_dir={tmp_path / 'from_latents'}"]) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_told_to_end_says_how_it_goes_on(
    tmp_path: Path, capsys: Any, monkeypatch: Any, number: signal.Signals
) -> None:
    after = SaveCheckpoint.on_train_batch_end

    def tell(save: Any, trainer: Any, *rest: Any) -> None:
        after(save, trainer, *rest)
        if trainer.global_step == 1:
            os.kill(os.getpid(), number)

    config = write_config(tmp_path / "c.yaml", {"trainer.max_steps": 5})
    monkeypatch.setattr(SaveCheckpoint, "on_train_batch_end", tell)
    lines = said(capsys, "fit", "-c", config, code=128 + number)
    last = lines[-1]
    assert last.startswith("saved at step 2; go on with --ckpt_path last: vidiff fit -c ")
    monkeypatch.undo()
    words = shlex.split(last.rpartition(": vidiff ")[2])
    lines = said(capsys, *words)
    assert any(line.endswith("last.ckpt (step 5)") for line in lines)
