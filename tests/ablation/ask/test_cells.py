"""Cells are all combinations; a run is known by what its config says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vidiff.ablation.ask.cells import alike, content_id, expand, make_run, make_runs
from vidiff.ablation.ask.nodes import get

BASE: dict[str, Any] = {
    "data": {"batch_size": 8},
    "model": {"class_path": "DiffusionTask", "init_args": {"denoiser": {"class_path": "dit"}}},
    "trainer": {"max_steps": 10, "default_root_dir": "runs/base"},
}
AXES: dict[str, dict[str, dict[str, Any]]] = {
    "prediction": {"flow": {"model.prediction": "flow"}, "sample": {"model.prediction": "sample"}},
    "width": {str(w): {"model.denoiser.width": w} for w in (8, 16, 24)},
}


def test_all_combinations_the_baseline_first() -> None:
    cells = expand(AXES)
    assert len({cell.name for cell in cells}) == len(cells) == 6
    assert cells[0].choices == {"prediction": "flow", "width": "8"}
    assert [cell.is_baseline for cell in cells] == [True] + 5 * [False]
    other = expand(AXES, {"width": "24"})
    assert other[0].choices == {"prediction": "flow", "width": "24"}
    assert other[0].is_baseline


def test_a_cell_of_one_axis_is_called_like_its_value() -> None:
    cells = expand({"prediction": AXES["prediction"]})
    assert [cell.name for cell in cells] == ["flow", "sample"]
    assert expand(AXES)[0].name == "prediction=flow, width=8"


def test_combinations_are_left_out_by_some_of_their_values() -> None:
    cells = expand(AXES, exclude=[{"prediction": "sample", "width": "24"}, {"width": "16"}])
    assert [cell.name for cell in cells] == [
        "prediction=flow, width=8",
        "prediction=flow, width=24",
        "prediction=sample, width=8",
    ]
    with pytest.raises(ValueError, match=r"exclude leaves out the baseline \(prediction=flow, w"):
        expand(AXES, exclude=[{"prediction": "flow"}])


def test_two_axes_may_not_replace_the_same_node() -> None:
    axes = {**AXES, "other": {"a": {"model.prediction": "v"}, "b": {"model.prediction": "score"}}}
    with pytest.raises(ValueError, match="axes prediction and other both replace model"):
        expand(axes)


def test_a_run_stands_alone_and_has_its_seed_everywhere() -> None:
    run = make_run(expand(AXES)[-1], BASE, 7)
    assert run.config["seed_everything"] == run.config["data"]["seed"] == 7
    assert get(run.config, "model.prediction") == "sample"
    assert get(run.config, "model.denoiser.width") == 24
    assert run.config["data"]["batch_size"] == 8


def test_an_id_follows_from_the_content_and_from_nothing_else() -> None:
    """The literal keeps ids stable: a change of it would run everything again."""
    run = make_run(expand(AXES)[0], BASE, 0)
    assert run.id == "7b37ce698f3c"
    elsewhere = {**BASE, "trainer": {"default_root_dir": "elsewhere", "max_steps": 10}}
    renamed = {"prediction": {"a": AXES["prediction"]["flow"], "b": AXES["prediction"]["sample"]}}
    cell = expand({**renamed, "width": AXES["width"]})[0]
    assert make_run(cell, elsewhere, 0).id == run.id
    others = [make_run(expand(AXES)[0], BASE, 1), make_run(expand(AXES)[1], BASE, 0)]
    others.append(make_run(expand(AXES)[0], {**BASE, "trainer": {"max_steps": 11}}, 0))
    assert len({run.id, *(other.id for other in others)}) == 4
    assert content_id(run.config) == run.id


def test_all_cells_come_with_the_first_seed_before_any_with_the_second() -> None:
    runs = make_runs(expand(AXES), BASE, [3, 5])
    assert [run.seed for run in runs] == 6 * [3] + 6 * [5]
    assert not list(alike(runs))


def test_cells_that_are_the_same_are_found() -> None:
    axes = {"w": {"8": {"model.denoiser.width": 8}, "eight": {"model.denoiser.width": 8}}}
    ((one, other),) = alike(make_runs(expand(axes), BASE, [0]))
    assert (one.cell.name, other.cell.name) == ("8", "eight")


def test_what_is_solved_for_counts_more_than_what_the_cell_says() -> None:
    cell = replace(expand(AXES)[0], solved={"model.denoiser.width": 40}, equality=1.01)
    assert get(cell.config(BASE), "model.denoiser.width") == 40
    assert cell.equality == 1.01


@pytest.mark.parametrize(
    ("steps", "interval", "becomes"),
    [(800, 200, 200), (692, 200, 173), (801, 200, 160), (606, 200, 151), (90, 200, 90), (9, 4, 3)],
)
def test_steps_that_were_solved_for_end_in_a_validation(
    steps: int, interval: int, becomes: int
) -> None:
    base = {**BASE, "trainer": {"max_steps": 800, "val_check_interval": interval}}
    config = replace(expand(AXES)[0], solved={"trainer.max_steps": steps}).config(base)
    assert get(config, "trainer.val_check_interval") == becomes <= interval
    assert steps % becomes < 6, "so few steps are left after the last validation"
    unsolved = expand(AXES)[0].config({**base, "trainer": {**base["trainer"], "max_steps": steps}})
    assert get(unsolved, "trainer.val_check_interval") == interval


def test_a_share_of_an_epoch_stays_what_it_is() -> None:
    solved = replace(expand(AXES)[0], solved={"trainer.max_steps": 90})
    for interval in ({}, {"val_check_interval": 0.5}, {"val_check_interval": None}):
        config = solved.config({**BASE, "trainer": {"max_steps": 80, **interval}})
        assert get(config, "trainer.val_check_interval", None) == interval.get("val_check_interval")
