"""What is wrong in a config names its file and its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import write_config


def test_a_block_given_twice_is_refused_with_both_lines(refused: Any, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml")
    length = len(config.read_text().splitlines())
    config.write_text(config.read_text() + "trainer:\n  max_steps: 1\n")
    for command in ("fit", "sample", "plan"):
        assert refused(command, "-c", config) == (
            f"{config}: the key 'trainer' is given twice, in lines 1 and {length + 1}: keep one"
        )


def test_a_config_within_a_config_too(refused: Any, tmp_path: Path) -> None:
    part = tmp_path / "dit.yaml"
    part.write_text("class_path: dit\ninit_args:\n  depth: 1\n  width: 16\n  depth: 2\n")
    config = write_config(tmp_path / "c.yaml", {"model.init_args.denoiser": str(part)})
    assert "'init_args.depth' is given twice, in lines 3 and 5" in refused("fit", "-c", config)
    assert str(part) in refused("fit", "-c", config)


def test_a_value_on_the_command_line_too(refused: Any, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml")
    said = refused("fit", "-c", config, "--model.denoiser", "{class_path: dit, class_path: unet}")
    assert "the key 'class_path' is given twice" in said


def test_a_prompt_that_looks_like_two_keys_is_a_prompt(tmp_path: Path) -> None:
    from vidiff.cli.model import make_parser

    config = write_config(tmp_path / "c.yaml")
    words = ["sample", "-c", str(config), "--prompts", "note: a\nnote: b"]
    assert make_parser().parse_args(words).sample.prompts == "note: a\nnote: b"


def test_merge_keys_and_anchors_work_in_a_config(tmp_path: Path) -> None:
    from vidiff.cli.model import make_parser

    config = write_config(tmp_path / "c.yaml")
    text = config.read_text()
    config.write_text(f"{text}seed_everything: &seed 3\n")
    other = tmp_path / "d.yaml"
    other.write_text("data: {<<: {batch_size: 4, val_batch_size: 5}, batch_size: 6}\n")
    parsed = make_parser().parse_args(["fit", "-c", str(config), "-c", str(other)]).fit
    assert (parsed.seed_everything, parsed.data.batch_size, parsed.data.val_batch_size) == (3, 6, 5)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model.init_args.denoiser.init_args.depht", 2, "unknown option 'model.denoiser.depht'"),
        ("data.batch_size", "x", "data.batch_size: expected int, got x"),
        ("trainer.max_step", 2, "unknown option 'trainer.max_step'"),
        (
            "model.init_args.denoiser.init_args.conditioning", "adaln_zeros",
            "model.denoiser.conditioning: unknown conditioning",
        ),
    ],
)  # fmt: skip
def test_a_mistake_names_its_file_and_line(
    refused: Any, tmp_path: Path, key: str, value: Any, said: str
) -> None:
    first, config = write_config(tmp_path / "a.yaml"), write_config(tmp_path / "c.yaml")
    config = write_config(config, {key: value})
    last = key.rpartition(".")[2]
    lines = [
        number
        for number, line in enumerate(config.read_text().splitlines(), 1)
        if line.strip() == f"{last}: {value}"
    ]
    message = refused("fit", "-c", first, "-c", config)
    assert message.startswith(said)
    assert message.endswith(f" ({config}, line {lines[0]})")


def test_a_mistake_of_the_command_line_names_no_file(refused: Any, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml")
    assert str(config) not in refused("fit", "-c", config, "--data.batch_size=x")
    assert str(config) not in refused("fit", "-c", config, "--model.denoiser.depht=2")


def test_a_config_may_be_given_as_text(refused: Any, tmp_path: Path) -> None:
    from vidiff.cli.model import make_parser

    text = write_config(tmp_path / "c.yaml").read_text()
    assert len(text) > 255, "longer than a name may be"
    assert make_parser().parse_args(["fit", "-c", text]).fit.data.batch_size == 2
    assert "data.batch_size" in refused(
        "fit", "-c", f"{text}  batch_size: x\n".replace("  batch_size: 2\n", "")
    )


def test_a_config_that_is_not_utf_8_is_named(refused: Any, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml")
    config.write_bytes(b"# caf\xe9\n" + config.read_bytes())
    assert refused("fit", "-c", config).startswith(
        f"{config}, line 1: byte 0xe9 is not text in UTF-8"
    )
