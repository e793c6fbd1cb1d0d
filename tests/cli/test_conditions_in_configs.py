"""Conditions by name: in YAML, on the command line, in checkpoints, on resuming, in ablations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny import write_config

import vidiff
from vidiff.__main__ import main
from vidiff.ablation.ask.nodes import get, replace
from vidiff.model import load_model
from vidiff.training import DiffusionTask

TASK = ["fit", "--model=DiffusionTask"]
KEY = "model.init_args.conditions"
WORDS, LABELS = "vidiff.conditions.Words", "vidiff.conditions.Labels"
LABEL = {"class_path": "labels", "init_args": {"num_classes": 3, "text_dim": 16}}


@pytest.fixture
def conditions(capsys: Any) -> Any:
    """The conditions that ``--print_config`` shows."""

    def printed(*words: object) -> Any:
        capsys.readouterr()
        assert main([*map(str, words), "--print_config"]) == 0
        return yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["conditions"]

    return printed


def classes(found: dict[str, Any]) -> dict[str, str]:
    return {name: node["class_path"] for name, node in found.items()}


def test_the_default_is_words_with_all_its_settings(conditions: Any) -> None:
    (name, node), *others = conditions(*TASK).items()
    assert (name, others) == ("text", [])
    assert node["class_path"] == WORDS
    assert node["init_args"]["text_dim"] == 128


def test_a_setting_of_a_condition_is_an_option(conditions: Any, tmp_path: Path) -> None:
    found = conditions(*TASK, "--model.conditions.text.text_dim", 64)
    assert classes(found) == {"text": WORDS}
    assert found["text"]["init_args"]["text_dim"] == 64
    assert found["text"]["init_args"]["depth"] == 2
    config = write_config(tmp_path / "c.yaml")
    found = conditions("fit", "-c", config, "--model.conditions.text.text_dim", 64)
    assert (found["text"]["init_args"]["text_dim"], found["text"]["init_args"]["num_rows"]) == (
        64, 64,
    )  # fmt: skip


def test_another_class_takes_a_conditions_place_with_its_own_settings(
    conditions: Any, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "c.yaml")
    for words in (TASK, ["fit", "-c", config]):
        found = conditions(*words, "--model.conditions.text", "labels")
        assert classes(found) == {"text": LABELS}
        assert found["text"]["init_args"] == {"num_classes": 1000, "text_dim": 384, "names": None}
    found = conditions("fit", "-c", config, "--model.conditions.text", "labels",
                       "--model.conditions.text.num_classes", 3)  # fmt: skip
    assert found["text"]["init_args"]["num_classes"] == 3


def test_one_more_condition_stands_next_to_the_others(conditions: Any, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml")
    for words in (TASK, ["fit", "-c", config]):
        found = conditions(*words, "--model.conditions.extra", "frames",
                           "--model.conditions.extra.first", 0.9)  # fmt: skip
        assert classes(found) == {"text": WORDS, "extra": "vidiff.conditions.Frames"}
        assert found["extra"]["init_args"]["first"] == 0.9
    assert found["text"]["init_args"]["text_dim"] == 16, "as the config says"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"label": "labels"}, {"label": LABELS}),
        ({"label": "labels", "text": "words"}, {"label": LABELS, "text": WORDS}),
        ({"text": {"class_path": "labels"}}, {"text": LABELS}),
    ],
)
def test_a_configs_conditions_take_the_place_of_the_default(
    conditions: Any, tmp_path: Path, given: dict[str, Any], expected: dict[str, str]
) -> None:
    config = write_config(tmp_path / "c.yaml", {KEY: given})
    assert classes(conditions("fit", "-c", config)) == expected
    found = conditions(*TASK, f"--model.conditions={json.dumps(given)}")
    assert classes(found) == expected


def test_a_later_configs_conditions_take_the_place_of_earlier_ones(
    conditions: Any, tmp_path: Path
) -> None:
    first, second = write_config(tmp_path / "first.yaml"), tmp_path / "second.yaml"
    second.write_text("model: {init_args: {conditions: {label: labels}}}")
    assert classes(conditions("fit", "-c", first, "-c", second)) == {"label": LABELS}
    second.write_text("model: {init_args: {conditions: {}}}")
    assert conditions("fit", "-c", first, "-c", second) == {}


def test_print_config_shows_conditions_that_it_reads_again(tmp_path: Path, capsys: Any) -> None:
    given = {"label": "labels", "frames": {"class_path": "frames", "init_args": {"past": 0.5}}}
    config = write_config(tmp_path / "c.yaml", {KEY: given})
    assert main(["fit", "-c", str(config), "--print_config"]) == 0
    once = capsys.readouterr().out
    (tmp_path / "printed.yaml").write_text(once)
    assert main(["fit", "-c", str(tmp_path / "printed.yaml"), "--print_config"]) == 0
    assert capsys.readouterr().out == once


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--model.conditions.text.text_dimm=3"],
            "unknown option 'model.conditions.text.text_dimm', did you mean 'text_dim'?; known: "
            "depth, max_words, num_heads, num_rows, text_dim",
        ),
        (
            ["--model.conditions.text=wrods"],
            "model.conditions.text: unknown condition 'wrods', did you mean 'words'?; known: ",
        ),
        (
            ["--model.conditions", json.dumps({"label": {**LABEL, "init_args": {"classes": 3}}})],
            "unknown option 'model.conditions.label.classes', did you mean 'num_classes'?; known: ",
        ),
        (["--model.conditions", '{"text": "full"}'], "model.conditions.text: unknown condition "),
        (["--model.conditions.text.text_dim=x"], "model.conditions.text.text_dim: expected int, "),
        (["--model.conditions=words"], "model.conditions: expected "),
        (["--model.conditions", '{"text": null}'], "model.conditions.text: "),
        (["--model.condition_dropout=x"], "model.condition_dropout: expected float or "),
        (["--model.conditions.text.autoencoder=1"], "unknown option 'model.conditions.text.autoe"),
    ],
)
def test_a_mistake_in_a_condition_is_one_line_with_its_key(
    refused: Any, words: list[str], said: str
) -> None:
    message = refused(*TASK, *words)
    assert message.startswith(said)
    assert "Namespace(" not in message


def test_a_mistake_in_a_file_reads_the_same(refused: Any, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml", {f"{KEY}.text.init_args.text_dimm": 2})
    assert refused("fit", "-c", config).startswith(
        "unknown option 'model.conditions.text.text_dimm', did you mean 'text_dim'?; known: depth"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.conditions.keys=words"], "a condition cannot be called 'keys': take a word of"),
        (["--model.conditions.all=words"], "a condition cannot be called 'all'"),
        (["--model.conditions", '{"my text": "words"}'], "a condition cannot be called 'my text'"),
        (
            ["--model.condition_dropout", '{"txt": 0.1}'],
            "condition_dropout: no condition is called 'txt', did you mean 'text'?; there are text",
        ),
        (["--model.condition_dropout=1.5"], "condition_dropout must be within [0, 1], got 1.5"),
    ],
)
def test_what_cannot_be_built_is_one_line(
    tmp_path: Path, capsys: Any, words: list[str], said: str
) -> None:
    config = write_config(tmp_path / "c.yaml")
    assert main(["fit", "-c", str(config), *words]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"vidiff: error: {said}")
    assert not (tmp_path / "run" / "checkpoints").exists()


# -- Checkpoints ----------------------------------------------------------------------------------

DROPOUT = {"frames": 0.2, "all": 0.1}


@pytest.fixture(scope="module")
def done(tmp_path_factory: Any) -> Path:
    """A config with other conditions than the default, and its run of two steps."""
    words = {"class_path": "words", "init_args": {"text_dim": 16, "num_heads": 2, "num_rows": 64}}
    changes = {KEY: {"prompt": words, "frames": "frames"}}
    changes |= {"model.init_args.condition_dropout": DROPOUT}
    config = write_config(tmp_path_factory.mktemp("done") / "c.yaml", changes)
    assert main(["fit", "-c", str(config)]) == 0
    return config


def test_a_checkpoint_holds_conditions_as_plain_values_and_rebuilds_them(done: Path) -> None:
    path = done.parent / "run" / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    held = saved["hyper_parameters"]["conditions"]
    assert list(held) == ["prompt", "frames"]
    assert held["prompt"]["class_path"].endswith("Words")
    assert held["prompt"]["init_args"]["text_dim"] == 16
    assert held["prompt"]["init_args"]["max_words"] == 64, "a default"
    assert saved["hyper_parameters"]["condition_dropout"] == DROPOUT
    assert any(name.startswith("conditions.prompt.") for name in saved["state_dict"])
    task = vidiff.load(path)
    assert isinstance(task, DiffusionTask)
    assert list(task.conditions) == list(load_model(path).conditions) == ["prompt", "frames"]
    assert task.dropout.shares == {"prompt": 0.0, "frames": 0.2}


def test_the_saved_config_goes_on(done: Path) -> None:
    run = done.parent / "run"
    saved = yaml.safe_load((run / "config.yaml").read_text())["model"]["init_args"]
    assert list(saved["conditions"]) == ["prompt", "frames"]
    assert saved["condition_dropout"] == DROPOUT
    words = ["--ckpt_path=last", "--trainer.max_steps=3"]
    assert main(["fit", "-c", str(run / "config.yaml"), *words]) == 0
    assert main(["validate", "-c", str(done), "--ckpt_path=last"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--model.conditions.prompt.text_dim=32"],
            "model.conditions.prompt.text_dim: 32 in the config, 16 in the checkpoint",
        ),
        (
            ["--model.conditions.text=words"],
            "model.conditions.text.class_path: 'vidiff.conditions.Words' in the config, 'nothing' "
            "in the checkpoint",
        ),
        (
            ["--model.conditions={frames: frames}"],
            "model.conditions.prompt.class_path: 'nothing' in the config, 'vidiff.conditions.Words'"
            " in the checkpoint",
        ),
        (
            ["--model.conditions.prompt", json.dumps(LABEL)],
            "model.conditions.prompt.class_path: 'vidiff.conditions.Labels' in the config, 'vidi",
        ),
        (
            ["--model.condition_dropout=0.3"],
            "model.condition_dropout: 0.3 in the config, 'nothing' in the checkpoint",
        ),
    ],
)
def test_a_checkpoint_of_other_conditions_is_refused_with_what_differs(
    refused: Any, done: Path, words: list[str], said: str
) -> None:
    for command in ("fit", "validate"):
        error = refused(command, "-c", done, "--ckpt_path=last", *words)
        assert "holds another model than the config asks for: " in error
        assert said in error


# -- Ablations ------------------------------------------------------------------------------------


def test_conditions_are_axes_of_an_ablation(tmp_path: Path, capsys: Any) -> None:
    write_config(tmp_path / "base.yaml", {"model.init_args.condition_dropout": 0.1})
    file = {
        "question": "Which condition?",
        "base": "base.yaml",
        "output": str(tmp_path / "out"),
        "axes": {
            "model.conditions.text": ["words", LABEL],
        },
        "seeds": [0],
        "metrics": {"val/loss": "lower"},
    }  # fmt: skip
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(file, sort_keys=False))
    assert main(["ablate", str(tmp_path / "a.yaml"), "--dry-run"]) == 0
    page = capsys.readouterr().out
    assert "words" in page
    assert "labels" in page
    file["axes"] = {"model.conditions": [{}, {"text": "words"}, {"label": LABEL, "f": "frames"}]}
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(file, sort_keys=False))
    assert main(["ablate", str(tmp_path / "b.yaml"), "--dry-run"]) == 0
    more = {"class_path": "frames", "init_args": {"first": 0.6}}
    file["axes"] = {"model.conditions.text.text_dim": [16, 32],
                    "model.conditions.f": ["frames", more]}  # fmt: skip
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(file, sort_keys=False))
    assert main(["ablate", str(tmp_path / "c.yaml"), "--dry-run"]) == 0
    capsys.readouterr()
    file["axes"] = {"model.conditions.text": ["words", "wrods"]}
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(file, sort_keys=False))
    assert main(["ablate", str(tmp_path / "d.yaml"), "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "model.conditions.text: unknown condition 'wrods', did you mean 'words'?" in error


def test_an_axis_replaces_a_condition_and_leaves_the_others(tmp_path: Path) -> None:
    changes = {f"{KEY}.frames": "frames"}
    base = yaml.safe_load(write_config(tmp_path / "base.yaml", changes).read_text())
    changed = replace(base, {"model.conditions.text": "labels"})
    assert get(changed, "model.conditions.text") == "labels"
    assert get(changed, "model.conditions.frames") == "frames"
    deeper = replace(base, {"model.conditions.text.text_dim": 32})
    assert get(deeper, "model.conditions.text.text_dim") == 32
    assert get(deeper, "model.conditions.text.num_rows") == 64
    assert get(base, "model.conditions.text.text_dim") == 16
