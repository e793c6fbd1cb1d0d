"""A column of one's own is one file, and one name in an ablation file or in an option."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from small_config import SMALL

from vidiff.__main__ import main
from vidiff.ablation import pipeline
from vidiff.ablation.judge.schema import Results, read_results, write_results
from vidiff.registry import get_kind
from vidiff.testing import check_component

PLUGIN = '''
from vidiff.ablation.report.columns import Column
from vidiff.registry import register


@register("parameters_per_second")
class ParametersPerSecond(Column):
    """Parameters over the seconds of training."""

    title = "parameters/s"

    def value(self, cell):
        costs = cell.costs
        return costs.parameters / costs.seconds if costs.parameters and costs.seconds else None
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / f"column_{random.getrandbits(64):x}.py"  # a module can be loaded only once
    path.write_text(PLUGIN)
    yield path
    get_kind("column").components.pop("parameters_per_second", None)


def test_a_column_of_a_plugin_is_in_every_table(
    results: Results,
    tmp_path: Path,
    plugin: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By option, of a report that is written anew from its results, without any runs."""
    results.cells[1].costs.seconds = None
    file = tmp_path / "out" / "results.json"
    write_results(results, file)
    options = ["--report", "latex", "--columns", "parameters_per_second", "--plugins", str(plugin)]
    assert main(["ablate", str(file), *options]) == 0
    assert f"written: {tmp_path / 'out' / 'results.tex'}" in capsys.readouterr().out
    check_component("column", "parameters_per_second")
    for name in ("report.html", "report.md", "results.tex"):
        text = (tmp_path / "out" / name).read_text()
        assert "parameters/s" in text
        assert "1.372e+04" in text, "1,234,567 in 90 s"
    with (tmp_path / "out" / "cells.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert float(rows[0]["parameters/s"]) == 1_234_567 / 90
    assert rows[1]["parameters/s"] == ""
    assert read_results(file) == results, "what is read is written unchanged"


def write(folder: Path, **changes: object) -> Path:
    (folder / "base.yaml").write_text(yaml.safe_dump(SMALL | {"plugins": changes.pop("plugins")}))
    file = {
        "question": "Which?", "base": "base.yaml", "metrics": {"val/loss": "lower"},
        "axes": {"model.denoiser.depth": [1, 2]}, "output": str(folder / "out"), **changes,
    }  # fmt: skip
    (folder / "ablation.yaml").write_text(yaml.safe_dump(file))
    return folder / "ablation.yaml"


def test_an_ablation_file_names_columns_and_formats(tmp_path: Path, plugin: Path) -> None:
    names = {"columns": ["parameters_per_second"], "report": ["svg"]}
    path = write(tmp_path, plugins=[plugin.name], **names)
    asked = pipeline.ask(path, formats=["latex"])
    assert asked.ablation.columns == ["parameters_per_second"]
    assert asked.ablation.report == ["svg", "latex"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"columns": ["parameter"]}, "unknown column 'parameter', did you mean 'parameters'"),
        ({"report": ["latx"]}, "unknown report 'latx', did you mean 'latex'"),
    ],
)
def test_an_unknown_name_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, list[str]], said: str
) -> None:
    assert main(["ablate", str(write(tmp_path, plugins=[], **changes))]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
