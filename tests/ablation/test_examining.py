"""Several processes say of runs what one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vidiff.ablation.ask.cells import expand, make_runs
from vidiff.ablation.check import errors as examining
from vidiff.ablation.check.checker import Checker, RunCosts
from vidiff.ablation.check.errors import examine
from vidiff.yaml_files import read_yaml

BASE = Path(__file__).parents[2] / "experiments" / "ablations" / "base.yaml"


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many processes were begun, each time."""
    begun: list[int] = []
    usual = examining.ProcessPoolExecutor

    def begin(number: int, *args: Any) -> Any:
        begun.append(number)
        return usual(number, *args)

    monkeypatch.setattr(examining, "ProcessPoolExecutor", begin)
    monkeypatch.setattr(examining, "available_cores", lambda: 2)
    monkeypatch.setattr(examining, "SHARE", 3)
    monkeypatch.setattr(examining, "CHUNK", 2)
    return begun


def test_several_processes_say_what_one_does(processes: list[int]) -> None:
    axes = {
        "width": {str(w): {"model.denoiser.width": w} for w in (24, 25, 36)},
        "depth": {str(d): {"model.denoiser.depth": d} for d in (1, 2)},
    }
    checker = Checker()
    runs = make_runs(expand(axes), read_yaml(BASE), [0, 1])
    found = examine(runs, checker)
    assert processes == [2]
    assert found == [checker.examine(run.config) for run in runs]
    for run, said in zip(runs, found, strict=True):
        assert isinstance(said, str if run.cell.choices["width"] == "25" else RunCosts)


def test_seeds_are_no_reason_for_another_process(processes: list[int]) -> None:
    checker = Checker()
    cells = expand({"depth": {str(d): {"model.denoiser.depth": d} for d in (1, 2)}})
    found = examine(make_runs(cells, read_yaml(BASE), [*range(9)]), checker)
    assert processes == []
    assert len(found) == 18
