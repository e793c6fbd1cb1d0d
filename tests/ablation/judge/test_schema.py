"""``results.json`` is read as it was written; anything else is refused, and named."""

from __future__ import annotations

import ast
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from finished_runs import ACCURACY, finish, make_ablation, work

from vidiff.ablation.ask.file import Match
from vidiff.ablation.judge import schema
from vidiff.ablation.judge.collect import collect
from vidiff.ablation.judge.schema import Results, read_results, write_results
from vidiff.files import read_json, write_json
from vidiff.schema import plain


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Of crossed axes, with a run that failed and a metric that is not there."""
    metrics = {"prompt_accuracy": "higher", "val/loss": "lower", "fvd": "lower"}
    ablation = make_ablation(tmp_path, match=Match("flops"), metrics=metrics)
    runs, folders = work(ablation)
    for run in runs[:11]:
        finish(folders[run.id], ACCURACY[run.cell.choices["prediction"]], run.seed)
    return collect(ablation, tmp_path / "question" / "ablation.yaml", runs, folders, {"x": [1]})


def test_what_is_written_is_read(results: Results, tmp_path: Path) -> None:
    write_results(results, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == results
    node = read_json(tmp_path / "results.json")
    assert list(node) == ["format", *(each.name for each in fields(Results))]
    assert node["main_effects"]["prompt_accuracy"][0]["axes"] == ["prediction"]
    assert node["interactions"]["prompt_accuracy"][0]["axes"] == ["prediction", "width"]


def test_values_that_are_not_finite_are_null_in_the_file(results: Results, tmp_path: Path) -> None:
    run = results.cells[0].runs[0]
    run.scores["val/loss"] = [(5, 1.0), (10, math.nan)]
    run.curves["val/loss"] = [(1, 2.0), (2, math.inf)]
    json.dumps(plain(results), allow_nan=False)
    write_results(results, tmp_path / "results.json")
    found = read_results(tmp_path / "results.json").cells[0].runs[0]
    assert found.scores["val/loss"][0] == (5, 1.0)
    assert math.isnan(found.score("val/loss"))
    assert found.curves["val/loss"][0] == (1, 2.0)
    assert math.isnan(found.curves["val/loss"][1][1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "vidiff ablation 2"}, r"version 2 of its format, .* reads .* 3: .*--report"),
        ({"format": "vidiff evaluation 1"}, "is no ablation: give a file that `vidiff ablate"),
        ({"cells": [{"name": "a"}]}, r"is damaged \(cells\[\] lacks choices, .*--report"),
    ],
)
def test_other_versions_and_other_files_are_refused(
    results: Results, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = tmp_path / "results.json"
    write_results(results, path)
    write_json(path, read_json(path) | change)
    with pytest.raises(ValueError, match=rf"results\.json.*{said}"):
        read_results(path)


def test_reports_read_attributes() -> None:
    """Who looks for a key of ``results.json`` finds it in the schema, and nowhere else."""
    files = list((Path(schema.__file__).parents[1] / "report").rglob("*.py"))
    assert len(files) > 5
    keys = [
        f"{file.name}: {ast.unparse(node)}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    ]
    assert keys == []


def test_a_list_is_no_result(tmp_path: Path) -> None:
    write_json(tmp_path / "list.json", ["vidiff ablation 3"])
    with pytest.raises(ValueError, match=r"list\.json is no ablation"):
        read_results(tmp_path / "list.json")
