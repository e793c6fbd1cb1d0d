"""The ablation file: what is in it reaches the ablation; what cannot be is refused in a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from vidiff.ablation.ask.file import Ablation, Match, name_of, read_ablation
from vidiff.ablation.launchers import Local
from vidiff.errors import UsageError

FILE: dict[str, Any] = {
    "question": "Which block?",
    "base": "../base.yaml",
    "axes": {"model.denoiser.conditioning": ["adaln_zero", "adaln"]},
    "samples": {"prompts": "../prompts.txt", "num_steps": 4},
    "evaluation": {"metrics": "prompt_accuracy"},
    "metrics": {"prompt_accuracy": "higher"},
}


def read(folder: Path, name: str = "ablation.yaml", **changes: Any) -> Ablation:
    path = folder / "question" / name
    path.parent.mkdir(exist_ok=True)
    node = {key: value for key, value in {**FILE, **changes}.items() if value is not ...}
    path.write_text(yaml.safe_dump(node, sort_keys=False))
    return read_ablation(path)


def test_paths_are_relative_to_the_file_and_axes_are_spelt_out(tmp_path: Path) -> None:
    ablation = read(tmp_path)
    assert ablation.base == str(tmp_path / "base.yaml")
    assert ablation.samples == {"prompts": str(tmp_path / "prompts.txt"), "num_steps": 4}
    assert ablation.axes == {
        "conditioning": {
            "adaln_zero": {"model.denoiser.conditioning": "adaln_zero"},
            "adaln": {"model.denoiser.conditioning": "adaln"},
        }
    }
    assert ablation.output == "runs/ablations/question"
    assert ablation.seeds == [0, 1, 2]
    assert isinstance(ablation.launcher, Local)


def test_prompts_that_are_written_out_are_no_path(tmp_path: Path) -> None:
    for text in (
        "a red square moves left; a cyan cross stays still",
        "a dog runs. a cat waits",  # the dot is no ending
        "red/blue;",
    ):
        assert read(tmp_path, samples={"prompts": text}).samples == {"prompts": text}
    for name in ("p.csv", "../p.JSONL", "lists/all"):
        ablation = read(tmp_path, samples={"prompts": name})
        path = os.path.normpath(tmp_path / "question" / name)
        assert ablation.samples == {"prompts": path}


def test_values_with_several_nodes_and_names_of_their_own(tmp_path: Path) -> None:
    axes = {
        "objective": {
            "flow": {"model.prediction": "flow"},
            "x": {"model.prediction": "sample", "model.loss_weight": "constant"},
        },
        "model.denoiser.attention": [
            "full",
            {"class_path": "windowed", "init_args": {"window": [1, 2, 2]}},
        ],
        "trainer.max_steps": [10, 20],
    }
    ablation = read(
        tmp_path, axes=axes, baseline={"trainer.max_steps": 20}, exclude=[{"objective": "x"}]
    )
    assert ablation.axes["objective"]["x"] == axes["objective"]["x"]  # type: ignore[index]
    assert [*ablation.axes["attention"]] == ["full", "windowed window=[1, 2, 2]"]
    assert ablation.baseline == {"max_steps": "20"}
    assert ablation.exclude == [{"objective": "x"}]


def test_axes_that_end_alike_keep_their_whole_names(tmp_path: Path) -> None:
    axes = {"model.denoiser.width": [8, 16], "data.dataset.width": [32, 64]}
    assert [*read(tmp_path, axes=axes).axes] == [*axes]


def test_a_file_of_another_name_writes_elsewhere(tmp_path: Path) -> None:
    assert read(tmp_path, "flops.yaml").output == "runs/ablations/question-flops"
    assert name_of(tmp_path / "question" / "ablation.yaml") == "question"


def test_what_is_made_equal_has_its_defaults(tmp_path: Path) -> None:
    assert read(tmp_path).match is read(tmp_path, match="none").match is None
    assert read(tmp_path, match="parameters").match == Match("parameters")
    assert Match("parameters").by == "model.denoiser.width"
    assert Match("flops").by == Match("time").by == "trainer.max_steps"
    match = {"equal": "flops", "by": "model.denoiser.width", "tolerance": 0.1}
    assert read(tmp_path, match=match).match == Match("flops", "model.denoiser.width", None, 0.1)


def test_a_launcher_is_a_component(tmp_path: Path) -> None:
    launcher = {"class_path": "local", "init_args": {"num_at_once": 3}}
    assert read(tmp_path, launcher=launcher).launcher.num_at_once == 3


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"axis": {}}, r"unknown key 'axis', did you mean 'axes'\?; known: question,"),
    "missing key": ({"base": ...}, r"base"),
    "no question": ({"question": "Blocks."}, "with a question mark"),
    "one value": ({"axes": {"model.x": ["a"]}}, "axes.model.x needs two values"),
    "no axis": ({"axes": {}}, "axes are empty"),
    "undotted node": ({"axes": {"x": {"a": {"model": 1}, "b": {"model.y": 1}}}}, "axes.x.a must"),
    "same names": ({"axes": {"model.x": ["a", "a"]}}, "two values of the same name"),
    "no list": ({"axes": {"model.x": 3}}, "must be a list or a mapping"),
    "baseline axis": ({"baseline": {"condition": "adaln"}}, "unknown axis 'condition', did you me"),
    "baseline value": ({"baseline": {"conditioning": "adalm"}}, "no value 'adalm', did you mean"),
    "empty exclude": ({"exclude": [{}]}, "would leave out everything"),
    "seeds": ({"seeds": [1, 1]}, "seeds must be at least one, and differ"),
    "negative seed": ({"seeds": [-1]}, "must not be negative"),
    "direction": ({"metrics": {"fvd": "down"}}, "metrics"),
    "no metric": ({"metrics": {}}, "metrics are empty"),
    "no videos": ({"samples": ...}, "prompt_accuracy is measured on videos"),
    "no prompts": ({"samples": {"num_steps": 3}}, "samples needs prompts"),
    "own output": ({"samples": {"prompts": "a", "output": "x"}}, "samples.output is set by the ab"),
    "own real": ({"evaluation": {"generated": "x"}}, "evaluation.generated is set by the ablation"),
    "match": ({"match": "params"}, "match"),
    "match of a number": ({"match": 3}, "match must be none, .* or a mapping, got 3"),
    "match by": ({"match": {"equal": "parameters", "by": "trainer.max_steps"}}, "do not depend on"),
    "match time": ({"match": {"equal": "time", "by": "model.width"}}, "by trainer.max_steps, and"),
    "tolerance": ({"match": {"equal": "flops", "tolerance": 2}}, r"within \(0, 1\), got 2"),
    "launcher": ({"launcher": "slum"}, r"unknown launcher 'slum'"),
    "launcher of a plugin": (
        {"launcher": "ray"}, r"ray is a plugin: .*pip install \./plugins/vidiff-ray.*known: local",
    ),
    "launcher option": (
        {"launcher": {"class_path": "local", "init_args": {"at_once": 2}}}, "at_once",
    ),
    "budget": ({"budget": {"hours": 0}}, "budget.hours must be positive"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    changes, message = WRONG[case]
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert "ablation.yaml" in str(caught.value)


def test_a_file_that_is_missing_or_no_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_ablation(tmp_path / "none.yaml")
    for text, message in {"- a": "no mapping", "a: [": "no YAML"}.items():
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UsageError, match=message):
            read_ablation(tmp_path / "bad.yaml")
