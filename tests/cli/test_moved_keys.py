"""Keys of earlier configs are refused in one line that says where they went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import write_config

from vidiff.__main__ import main

TEXT = "text_encoder moved to conditions.text, as in conditions: {text: words}"
DROPOUT = "caption_dropout moved to condition_dropout, a number, or one by the condition's name"
PROJECT = "project_text moved to project"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.text_encoder", "words"], f"option 'model.text_encoder': {TEXT}"),
        (["--model.text_encoder=null"], f"option 'model.text_encoder': {TEXT}"),
        (["--model.text_encoder.text_dim=64"], f"option 'model.text_encoder.text_dim': {TEXT}"),
        (["--model.caption_dropout=0.1"], f"option 'model.caption_dropout': {DROPOUT}"),
        (
            ["--model.denoiser.conditioning.project_text=false"],
            f"option 'model.denoiser.conditioning.project_text': {PROJECT}",
        ),
    ],
)
def test_options_that_moved_name_their_new_place(refused: Any, words: list[str], said: str) -> None:
    assert refused("fit", "--model=DiffusionTask", *words) == said


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("text_encoder", "words", TEXT),
        ("text_encoder", {"class_path": "words", "init_args": {"text_dim": 64}}, TEXT),
        ("text_encoder", None, TEXT),
        ("caption_dropout", 0.1, DROPOUT),
        (
            "denoiser.init_args.conditioning",
            {"class_path": "adaln_zero", "init_args": {"project_text": False}},
            PROJECT,
        ),
    ],
)
def test_keys_that_moved_are_refused_in_every_command_that_reads_the_file(
    refused: Any, tmp_path: Path, capsys: Any, key: str, value: Any, said: str
) -> None:
    config = write_config(tmp_path / "c.yaml", {f"model.init_args.{key}": value})
    for command in ("fit", "plan"):
        message = refused(command, "-c", config)
        assert message.startswith(f"option 'model.{key.partition('.')[0]}")
        assert f": {said}" in message
    (tmp_path / "a.yaml").write_text(
        f"question: Which?\nbase: c.yaml\noutput: {tmp_path / 'out'}\nseeds: [0]\n"
        "axes: {model.ema_decay: [0.5, 0.9]}\nmetrics: {val/loss: lower}\n"
    )
    capsys.readouterr()
    assert main(["ablate", str(tmp_path / "a.yaml"), "--dry-run"]) == 2
    assert said in capsys.readouterr().err


def test_a_wrong_key_next_to_them_is_still_named(refused: Any) -> None:
    message = refused("fit", "--model=DiffusionTask", "--model.text_encoders=words")
    assert message.startswith("unknown option 'model.text_encoders'")
