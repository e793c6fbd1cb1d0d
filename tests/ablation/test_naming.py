"""Names of metrics are checked before training; one that is missing costs no report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from finished_runs import ACCURACY, finish, make_ablation, render, work
from test_ablate import TINY, write

from vidiff.__main__ import main
from vidiff.ablation.ask.cells import expand, make_runs
from vidiff.ablation.ask.nodes import get
from vidiff.ablation.check.options import Names, check_names, logged_by
from vidiff.ablation.judge.collect import collect
from vidiff.ablation.judge.run_results import read_run
from vidiff.ablation.judge.schema import Results
from vidiff.files import read_json
from vidiff.training import AutoencoderTask
from vidiff.training.diffusion.task import DiffusionTask

LOGGED = frozenset({"train/loss", "val/loss"})
NAMES = Names(LOGGED, True, ("prompt_accuracy",), {"fvd": "it compares with real videos"})


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("val/los", "training logs no 'val/los', did you mean 'val/loss'?; it logs train/loss, v"),
        ("train/los", "did you mean 'train/loss'?"),
        ("test/loss", "is never logged"),
        (
            "prompt_acuracy",
            "measures no 'prompt_acuracy', did you mean 'prompt_accuracy'?",
        ),
        ("fvd", "the evaluation does not measure 'fvd': it compares with real videos"),
        ("fdv", "did you mean 'fvd'?"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(metric: str, said: str) -> None:
    (line,) = check_names(["val/loss", metric], NAMES)
    assert line.startswith("metrics: ")
    assert said in line


def test_what_may_be_there_is_not_refused() -> None:
    assert check_names(["val/loss", "prompt_accuracy", "throughput/clips_per_second"], NAMES) == []
    assert check_names(["val/mine", "mine"], Names()) == []
    assert "limit_val_batches is 0" in check_names(["val/loss"], Names(LOGGED, False))[0]


class Quiet(DiffusionTask):
    """Logs what its base does."""


class Loud(DiffusionTask):
    """Logs something else."""

    def measure(self, batch: Any, split: str) -> None:
        self.log(f"{split}/mine", 1.0)


class Told(Loud):
    """Says what it logs."""

    def logged(self) -> frozenset[str]:
        return frozenset({"val/mine"})


class Callback:
    """Somebody's, that may log anything."""


def test_a_plugin_that_logs_other_values_is_believed() -> None:
    assert "val/loss_t0-25" in (logged_by(DiffusionTask()) or ())
    assert logged_by(Quiet()) == logged_by(DiffusionTask())
    assert logged_by(Loud()) is None
    assert logged_by(Told()) == {"val/mine"}
    assert logged_by(DiffusionTask(), [Callback()]) is None
    names = logged_by(AutoencoderTask()) or frozenset()
    assert {"train/kl", "val/psnr", "val/latent_std_max", "val/flicker"} <= names


def test_an_ablation_with_wrong_names_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = {"val/los": "lower", "fvd": "lower", "prompt_accuracy": "higher"}
    path = write(tmp_path, metrics=metrics)
    for words in ([], ["--dry-run"]):
        assert main(["ablate", str(path), *words]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert any("training logs no 'val/los', did you mean 'val/loss'" in line for line in lines)
        assert any("the evaluation does not measure 'fvd'" in line for line in lines)
        assert lines[-1] == "vidiff: 2 errors; nothing was started"
    assert not list(tmp_path.glob("out/runs/*"))


def test_no_validation_no_losses_of_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = {**TINY, "trainer": {**TINY["trainer"], "limit_val_batches": 0}}
    assert main(["ablate", str(write(tmp_path, base)), "--dry-run"]) == 2
    assert "'val/loss' is never logged" in capsys.readouterr().err


def test_cells_that_are_judged_by_validation_end_in_one() -> None:
    base: dict[str, Any] = {"trainer": {"max_steps": 400}, "data": {}}
    axes = {"seed": {"a": {"model.x": 1}, "b": {"model.x": 2, "trainer.max_steps": 90}}}
    for trainer, intervals in (
        ({}, (400, 90)),
        ({"val_check_interval": 0.5}, (400, 90)),
        ({"val_check_interval": 100}, (100, 90)),
        ({"val_check_interval": 150, "accumulate_grad_batches": 2}, (133, 90)),
    ):
        config = {**base, "trainer": {**base["trainer"], **trainer}}
        cells = [replace(cell, to_be_validated=True) for cell in expand(axes)]
        runs = make_runs(cells, config, [0])
        assert tuple(get(r.config, "trainer.val_check_interval") for r in runs) == intervals
        by_steps = isinstance(trainer.get("val_check_interval"), int)
        for run in runs:
            assert ("check_val_every_n_epoch" in run.config["trainer"]) == (not by_steps)
        plain = make_runs(expand(axes), config, [0])
        assert get(plain[0].config, "trainer.val_check_interval", None) == trainer.get(
            "val_check_interval"
        )


@pytest.fixture
def incomplete(tmp_path: Path) -> tuple[Results, Path]:
    """Results of which one metric is nowhere, and another only in some runs."""
    metrics = {"val/los": "lower", "prompt_accuracy": "higher", "train/mse": "lower"}
    ablation = make_ablation(tmp_path, metrics=metrics)
    runs, folders = work(ablation)
    for run in runs:
        finish(folders[run.id], ACCURACY[run.cell.choices["prediction"]], run.seed)
    reported = folders[runs[0].id].folder_of("evaluate")
    assert reported is not None
    (reported / "report.json").unlink()
    return collect(ablation, tmp_path / "question" / "ablation.yaml", runs, folders), tmp_path


def test_a_missing_metric_costs_no_report(incomplete: tuple[Results, Path]) -> None:
    results, folder = incomplete
    assert results.status.done == 12
    missing = {entry.metric: entry for entry in results.not_found}
    assert len(missing["val/los"].runs) == 12
    assert "training logged no val/los; it logged throughput/" in missing["val/los"].reason
    assert "val/loss" in missing["val/los"].reason
    assert len(missing["prompt_accuracy"].runs) == 1
    cells = {cell.name: cell for cell in results.cells}
    assert "val/los" not in cells["prediction=sample, width=8"].scores
    better = cells["prediction=sample, width=16"].differences["prompt_accuracy"]
    assert better.verdict == "better"
    for text in (render("markdown", results, folder), render("html", results, folder)):
        assert "12 of 12 runs have no val/los" in text
        assert "1 of 12 runs have no prompt_accuracy" in text
    assert "prompt_accuracy" in render("csv", results, folder)


def test_any_value_that_was_logged_can_be_a_metric(tmp_path: Path) -> None:
    ablation = make_ablation(tmp_path)
    runs, folders = work(ablation)
    finish(folders[runs[0].id], 0.5, 0)
    found = read_run(runs[0], folders[runs[0].id], ["throughput/clips_per_second"], tmp_path)
    assert found.result.scores == {"throughput/clips_per_second": [(5, 7), (10, 7)]}
    assert set(found.result.curves) == {"val/loss"}  # what is drawn stays what it was


def test_what_is_asked_anew_is_done_anew_in_runs_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a dry run, and again once all is done."""
    evaluation: dict[str, Any] = {"metrics": "prompt_accuracy", "protocol": "whole"}
    changes: dict[str, Any] = {"seeds": [0], "metrics": {"prompt_accuracy": "higher"}}
    assert main(["ablate", str(write(tmp_path, **changes)), "--dry-run"]) == 0
    evaluation |= {"metrics": "prompt_accuracy,flicker"}
    changes |= {
        "evaluation": evaluation,
        "metrics": {"prompt_accuracy": "higher", "flicker": "lower"},
    }
    path = write(tmp_path, **changes)
    assert main(["ablate", str(path)]) == 0
    results = read_json(tmp_path / "out" / "results.json")
    assert results["not_found"] == []
    assert [run["attempts"] for cell in results["cells"] for run in cell["runs"]] == [1, 1]
    steps = [*tmp_path.glob("out/runs/*/train/run.json")]
    trained = [path.stat().st_mtime_ns for path in steps]
    changes["evaluation"] = evaluation | {"metrics": "prompt_accuracy,flicker,motion"}
    changes["metrics"] = {"motion": "higher", "prompt_accuracy": "higher"}
    assert main(["ablate", str(write(tmp_path, **changes))]) == 0
    assert "ended from outside" not in capsys.readouterr().err
    results = read_json(tmp_path / "out" / "results.json")
    assert all("motion" in cell["scores"] for cell in results["cells"])
    assert [path.stat().st_mtime_ns for path in steps] == trained, "only the evaluation is new"
    assert yaml.safe_load(path.read_text())["metrics"] == changes["metrics"]
