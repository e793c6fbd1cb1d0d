"""``auto`` is one precision for all runs of an ablation, and stays so on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vidiff import precision as machines
from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.cells import Run, make_runs
from vidiff.ablation.ask.file import read_ablation
from vidiff.ablation.ask.precision import FILE, PRECISION, OnePrecision, precisions
from vidiff.ablation.check.preparation import Preparation
from vidiff.ablation.judge.schema import Chosen, Precision
from vidiff.ablation.report import phrases
from vidiff.files import read_json

BASE: dict[str, Any] = {
    "trainer": {"accelerator": "cpu", "max_steps": 4},
    "model": {"class_path": "DiffusionTask", "init_args": {"sampler": {"class_path": "euler"}}},
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes this CPU one that is fast in bf16, or one that is not."""

    def pretend(fast: bool) -> None:
        monkeypatch.setattr(machines, "_bf16_of_cpu", lambda: (fast, "so it is said"))

    return pretend


def prepare(folder: Path, base: dict[str, Any] | None = None, **changes: Any) -> Preparation:
    (folder / "base.yaml").write_text(yaml.safe_dump(base or BASE))
    file = {
        "question": "Which?", "base": "base.yaml", "seeds": [0, 1], "output": str(folder / "out"),
        "axes": {"model.warmup_steps": [1, 2]}, "metrics": {"val/loss": "lower"}, **changes,
    }  # fmt: skip
    (folder / "ablation.yaml").write_text(yaml.safe_dump(file))
    return Preparation(read_ablation(folder / "ablation.yaml"))


def runs_of(preparation: Preparation) -> list[Run]:
    return make_runs(preparation.cells, preparation.base, [0, 1])


@pytest.mark.parametrize("asked", [{}, {"precision": "auto"}])
def test_runs_are_the_same_on_another_machine(
    tmp_path: Path, machine: Any, asked: dict[str, str]
) -> None:
    base = BASE | {"trainer": BASE["trainer"] | asked}
    machine(True)
    first = prepare(tmp_path, base)
    begun = runs_of(first)
    assert {nodes.get(run.config, PRECISION) for run in begun} == {"bf16-mixed"}
    machine(False)
    elsewhere = runs_of(prepare(tmp_path, base))
    assert {nodes.get(run.config, PRECISION) for run in elsewhere} == {"32-true"}
    assert not {run.id for run in begun} & {run.id for run in elsewhere}
    first.precision.keep()
    assert [run.id for run in runs_of(prepare(tmp_path, base))] == [run.id for run in begun]
    chosen = {"precision": "bf16-mixed", "why": "so it is said", "device": "cpu"}
    assert read_json(tmp_path / "out" / FILE) == chosen


@pytest.mark.parametrize(
    "base",
    [
        BASE | {"trainer": BASE["trainer"] | {"precision": "bf16-mixed"}},
        BASE | {"trainer.precision": "bf16-mixed"},
    ],
)
def test_what_is_asked_for_stays(tmp_path: Path, machine: Any, base: dict[str, Any]) -> None:
    machine(False)
    preparation = prepare(tmp_path, base)
    assert preparation.base == base
    preparation.precision.keep()
    assert not (tmp_path / "out" / FILE).exists(), "there was nothing to choose"


def test_precision_may_be_what_is_tried(tmp_path: Path, machine: Any) -> None:
    machine(False)
    axes = {
        "a": {
            "auto": {"trainer.precision": "auto"},
            "half": {"trainer.precision": "bf16-mixed"},
        }
    }
    cells = prepare(tmp_path, axes=axes).cells
    found = [nodes.get(cell.config(BASE), PRECISION) for cell in cells]
    assert found == ["32-true", "bf16-mixed"]


def test_configs_that_are_trained_first_have_it_too(tmp_path: Path, machine: Any) -> None:
    machine(True)
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(BASE))
    preparation = prepare(tmp_path, first=[str(tmp_path / "first.yaml")])
    (first,) = preparation.first.values()
    assert nodes.get(first, PRECISION) == "bf16-mixed"


def test_jobs_that_ask_for_a_gpu_are_judged_by_it(tmp_path: Path, machine: Any) -> None:
    machine(False)
    config = OnePrecision(tmp_path).config({"trainer": {"accelerator": "gpu"}})
    assert nodes.get(config, PRECISION) == machines.choose("cuda").precision


# -- In reports -----------------------------------------------------------------------------------


def record(precision: str, matmul: str = "highest") -> dict[str, Any]:
    return {"devices": {"precision": precision, "matmul_precision": matmul}}


def test_what_runs_were_trained_in_counts_more_than_what_was_asked() -> None:
    config = {"trainer": {"precision": "32-true"}}
    found = precisions(
        [
            ("a, seed 0", config, {}),
            ("a, seed 1", config, record("32-true")),
            ("b, seed 0", config, record("bf16-mixed")),
            ("b, seed 1", config, record("32-true", "high")),
        ]
    )
    assert found == {
        "32-true": ["a, seed 0", "a, seed 1"],
        "bf16-mixed": ["b, seed 0"],
        "32-true with TF32": ["b, seed 1"],
    }
    said = phrases.precision(Precision(found, None))
    assert said.startswith("Runs differ in precision")
    assert "bf16-mixed in b, seed 0" in said


def test_one_precision_is_said_with_its_reason_where_it_was_chosen() -> None:
    chosen = Chosen("32-true", "no units", "cpu")
    runs = {"32-true": ["a", "b"]}
    said = [phrases.precision(Precision(runs, each)) for each in (chosen, None)]
    assert said == [
        "All runs are trained in 32-true (no units).", "All runs are trained in 32-true."
    ]  # fmt: skip
