"""What is wrong is said in one line, and before anything is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import write_config

TASK = ["fit", "--model=DiffusionTask"]


def node(class_path: str, **init_args: Any) -> str:
    return json.dumps({"class_path": class_path, "init_args": init_args})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--model.denoiser.patchifier.patch_sizes=3"],
            "unknown option 'model.denoiser.patchifier.patch_sizes', did you mean 'patch_size'?; "
            "known: patch_size",
        ),
        (
            ["--model.denoiser", node("dit", depht=3)],
            "unknown option 'model.denoiser.depht', did you mean 'depth'?; known: attention, "
            "conditioning, depth, mlp_ratio, num_heads, patchifier, positions, size, width",
        ),
        (
            ["--model.loss_weight", node("constant", measured_on=json.loads(node("sample", x=1)))],
            "unknown option 'model.loss_weight.measured_on.x'; it takes no options",
        ),
        (
            ["--model.conditions.text", node("words", text_dimm=1)],
            "unknown option 'model.conditions.text.text_dimm', did you mean 'text_dim'?",
        ),
        (["--model.ema=3"], "unknown option 'model.ema', did you mean 'ema_decay'?"),
        (["--model.denoiser.in_channels=3"], "unknown option 'model.denoiser.in_channels'"),
        (["--data.batch=3"], "unknown option 'data.batch', did you mean 'batch_size'?"),
        (
            ["--data.dataset.radiuss=3"],
            "unknown option 'data.dataset.radiuss', did you mean 'radius'?",
        ),
        (["--trainer.max_step=3"], "unknown option 'trainer.max_step', did you mean 'max_steps'?"),
        (
            ["--seed_everthing=3"],
            "unknown option 'seed_everthing', did you mean 'seed_everything'?",
        ),
        (
            ["--trainer.callbacks", f"[{node('ModelCheckpoint', dirpat='x')}]"],
            "unknown option 'trainer.callbacks.dirpat', did you mean 'dirpath'?",
        ),
        (
            ["--trainer.logger", node("CSVLogger", save_dirr="x")],
            "unknown option 'trainer.logger.save_dirr', did you mean 'save_dir'?",
        ),
        (
            ["--model.denoiser", '{"class_path": "dit", "init_arg": {}}'],
            "model.denoiser: beside class_path only init_args may stand",
        ),
        (
            ["--model.denoiser", '{"class_path": "dit", "dict_kwargs": {"x": 1}}'],
            "unknown option 'model.denoiser.dict_kwargs'",
        ),
    ],
)
def test_an_unknown_option_is_named_with_the_nearest_and_all_known(
    refused: Any, words: list[str], said: str
) -> None:
    assert refused(*TASK, *words).startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--model.denoiser=dti"],
            "model.denoiser: unknown denoiser 'dti', did you mean 'dit'?; known: dit",
        ),
        (
            ["--model.denoiser.conditioning=adaln_zeros"],
            "model.denoiser.conditioning: unknown conditioning 'adaln_zeros', did you mean "
            "'adaln_zero'?; known: adaln, adaln_single, adaln_zero, cross_attention, in_context",
        ),
        (
            ["--model.loss_weight.measured_on=flw"],
            "model.loss_weight.measured_on: unknown prediction 'flw', did you mean 'flow'?",
        ),
        (["--model.denoiser=full"], "model.denoiser: unknown denoiser 'full'"),
        (["--model=DifusionTask"], "model: unknown Task 'DifusionTask', did you mean 'Diff"),
        (["--model.denoiser=my_block.Mine"], "model.denoiser: No module named 'my_block'; a class"),
        (["--model.denoiser=vidiff.attention.Full"], "model.denoiser: Expected 'vidiff.attention"),
    ],
)
def test_an_unknown_name_is_named_with_the_nearest_and_all_known(
    refused: Any, words: list[str], said: str
) -> None:
    message = refused(*TASK, *words)
    assert message.startswith(said)
    assert "Namespace(" not in message  # jsonargparse's own wrapping


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data.batch_size=x"], "data.batch_size: expected int, got x"),
        (
            ["--model.denoiser.patchifier.patch_size=three"],
            "model.denoiser.patchifier.patch_size: expected tuple, got three",
        ),
        (["--model.compile_denoiser=maybe"], "model.compile_denoiser: expected bool, got maybe"),
        (["--model.denoiser.depth=three"], "model.denoiser.depth: expected int or null, got three"),
        (["-c", "none.yaml"], "config: File does not exist: "),
        (["--plugins", "none.py"], f"plugin '{Path.cwd() / 'none.py'}' is not a file"),
        (["surplus"], "unrecognized arguments: surplus"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(refused: Any, words: list[str], said: str) -> None:
    assert refused(*TASK, *words).startswith(said)


def test_a_missing_model_is_named(refused: Any) -> None:
    assert refused("fit").startswith("missing: model;")


def test_a_mistake_in_a_config_file_reads_the_same(refused: Any, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml", {"model.init_args.denoiser.init_args.depht": 2})
    assert refused("fit", "-c", config).startswith(
        "unknown option 'model.denoiser.depht', did you mean 'depth'?; known: attention"
    )


def test_a_value_that_no_part_can_be_built_with_is_one_line(tmp_path: Path, capsys: Any) -> None:
    from vidiff.__main__ import main

    config = write_config(tmp_path / "c.yaml")
    words = ["fit", "-c", str(config), "--model.denoiser.num_heads=3"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1] == (
        "vidiff: error: width 16 does not divide among num_heads 3 (--debug shows where)"
    )
    assert main(["fit", "-c", str(config), "--trainer.strategy=ddddp"]) == 2
    assert "invalid strategy name" in capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(ValueError, match="num_heads 3"):
        main([*words, "--debug"])


def test_the_traceback_is_shown_if_asked_for(monkeypatch: Any) -> None:
    from vidiff.__main__ import main
    from vidiff.errors import UsageError

    monkeypatch.setenv("VIDIFF_DEBUG", "1")
    with pytest.raises(UsageError):
        main(["no_such_command"])


def test_ctrl_c_ends_with_130(monkeypatch: Any) -> None:
    from vidiff.__main__ import main

    def interrupt(words: list[str]) -> int:
        raise KeyboardInterrupt

    def interrupt_as_lightning_does(words: list[str]) -> int:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(1)  # noqa: B904

    for stop in (interrupt, interrupt_as_lightning_does):
        monkeypatch.setattr("vidiff.cli.main._dispatch", stop)
        assert main(["fit"]) == 130
