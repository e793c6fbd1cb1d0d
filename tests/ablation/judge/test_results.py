"""What runs gave reaches the results, and is judged as the statistics say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from finished_runs import ACCURACY, NUM_PROMPTS, finish, leave_clips, make_ablation, work

from vidiff.ablation.ask.file import Match
from vidiff.ablation.judge.collect import collect
from vidiff.ablation.judge.schema import Results, Status
from vidiff.ablation.run import folder as run_folder
from vidiff.ablation.run.folder import COSTS
from vidiff.files import write_json


@pytest.fixture
def results(tmp_path: Path) -> Results:
    ablation = make_ablation(tmp_path)
    runs, folders = work(ablation)
    for run in runs:
        finish(folders[run.id], ACCURACY[run.cell.choices["prediction"]], run.seed)
    return collect(ablation, tmp_path / "question" / "ablation.yaml", runs, folders, {"x": 1})


def test_scores_are_those_of_the_evaluation_and_of_training(results: Results) -> None:
    cells = {cell.name: cell for cell in results.cells}
    assert results.status == Status(runs=12, done=12, failed=[], missing=0)
    best = cells["prediction=sample, width=8"]
    assert best.scores["prompt_accuracy"].value == pytest.approx(0.95)
    assert best.scores["val/loss"].value == pytest.approx(0.06, abs=1e-6)
    assert [run.scores["prompt_accuracy"] for run in best.runs] == [[(10, 0.95)]] * 3
    assert best.runs[1].scores["val/loss"] == best.runs[1].curves["val/loss"], "each checkpoint's"
    assert best.runs[1].score("val/loss") == pytest.approx(0.06), "the last one's"
    (curve,) = best.runs[1].curves.values()
    assert curve == [(5, pytest.approx(5.06)), (10, pytest.approx(0.06))]
    assert best.costs.flops == 10_000
    assert (best.costs.memory_bytes, best.costs.memory_of) == (1e9, "process")
    accuracy = results.metrics["prompt_accuracy"]
    assert (accuracy.units, accuracy.num_units, accuracy.limits) == ("prompts", NUM_PROMPTS, (0, 1))
    assert results.metrics["prompt_accuracy"].summary == "Share of right videos."
    assert results.metrics["val/loss"].units == "seeds"
    assert results.provenance.data == {"x": 1}


def test_what_is_better_is_said_and_what_is_alike_is_not(results: Results) -> None:
    cells = {cell.name: cell for cell in results.cells}
    assert results.baseline == "prediction=flow, width=8"
    assert cells[results.baseline].differences == {}
    better = cells["prediction=sample, width=16"].differences["prompt_accuracy"]
    assert better.difference == pytest.approx(0.45)
    assert better.verdict == "better"
    assert better.num_pairs == 3 * NUM_PROMPTS
    alike = cells["prediction=flow, width=16"].differences["prompt_accuracy"]
    assert alike.verdict == "cannot tell"
    (effect,) = [e for e in results.main_effects["prompt_accuracy"] if e.axes == ("prediction",)]
    assert effect.comparison.difference == pytest.approx(0.45)
    assert len(results.interactions["prompt_accuracy"]) == 1


def test_videos_are_found_from_the_folder_of_the_report(results: Results, tmp_path: Path) -> None:
    videos = results.cells[0].runs[0].videos
    names = [f"{number}.mp4" for number in range(8)]
    assert [Path(video.path).name for video in videos] == names, "one of each prompt"
    assert {video.right for video in videos} <= {True, False}
    assert (tmp_path / "out" / videos[0].path).resolve().is_relative_to(tmp_path / "runs")


def test_runs_that_failed_or_are_missing_are_counted_and_the_others_judged(tmp_path: Path) -> None:
    ablation = make_ablation(tmp_path)
    runs, folders = work(ablation)
    for run in runs[:8]:
        finish(folders[run.id], ACCURACY[run.cell.choices["prediction"]], run.seed)
    failed = folders[runs[8].id]
    failed.path.mkdir(parents=True)
    failed.record(run_folder.Status({}, 2, "fit: no memory (exit status 1)", 1.0))
    found = collect(ablation, tmp_path / "a" / "ablation.yaml", runs, folders)
    assert (found.status.done, found.status.missing) == (8, 3)
    assert found.status.failed[0].error == "fit: no memory (exit status 1)"
    assert found.cells[2].differences["prompt_accuracy"].num_seeds == 2


def test_scores_that_were_measured_differently_are_not_compared(tmp_path: Path) -> None:
    ablation = make_ablation(tmp_path)
    runs, folders = work(ablation)
    for number, run in enumerate(runs):
        finish(folders[run.id], 0.5, run.seed, fingerprint="other" if number == 3 else "same")
    with pytest.raises(ValueError, match=r"prompt_accuracy was measured in different ways"):
        collect(ablation, tmp_path / "a.yaml", runs, folders)


def test_a_metric_that_nobody_measured_is_named_with_those_there_are(tmp_path: Path) -> None:
    known = {"fvd": "it has prompt_accuracy", "val/los": "it logged throughput/clips_per_second, v"}
    for metric, said in known.items():
        ablation = make_ablation(tmp_path, metrics={metric: "lower"})
        runs, folders = work(ablation)
        finish(folders[runs[0].id], 0.5, 0)
        (entry,) = collect(ablation, tmp_path / "a.yaml", runs, folders).not_found
        assert (entry.metric, entry.runs) == (metric, [runs[0].id])
        assert said in entry.reason


def test_equal_time_is_told_as_it_came_out(tmp_path: Path) -> None:
    ablation = make_ablation(tmp_path, match=Match("time"))
    runs, folders = work(ablation)
    for run in runs:
        folder = folders[run.id]
        finish(folder, 0.5, run.seed)
        record = json.loads((folder.train / "run.json").read_text())
        step = 10 if run.cell.is_baseline else 7
        write_json(folder.train / "run.json", record | {"step": step})
        costs = {"parameters": 1, "flops_per_step": 1, "steps": step, "seconds_before": 0.5}
        write_json(folder.path / COSTS, costs | ({"seconds_before": 0.0} if step == 10 else {}))
    found = collect(ablation, tmp_path / "a.yaml", runs, folders)
    assert found.cells[0].equality == 1.0
    assert found.cells[1].equality == pytest.approx((0.5 + 7 * 0.2) / 2.0)


@pytest.mark.parametrize("is_complete", [True, False])
def test_losses_are_paired_by_validation_clip_where_all_runs_have_them(
    tmp_path: Path, is_complete: bool
) -> None:
    ablation = make_ablation(tmp_path, metrics={"val/loss": "lower"})
    runs, folders = work(ablation)
    for run in runs:
        accuracy = ACCURACY[run.cell.choices["prediction"]]
        finish(folders[run.id], accuracy, run.seed)
        if is_complete or run is not runs[5]:
            leave_clips(folders[run.id], accuracy + 0.001 * run.seed, run.seed)
    found = collect(ablation, tmp_path / "a.yaml", runs, folders)
    metric, judged = found.metrics["val/loss"], found.cells[2].differences["val/loss"]
    assert judged.difference == pytest.approx(-0.45, abs=2e-3)
    if is_complete:
        assert (metric.units, metric.num_units, metric.min_seeds) == ("clips", 12, 2)
        assert (judged.units, judged.num_pairs, judged.verdict) == ("clips", 36, "better")
        assert judged.p_method == "sign flips of clips, all 4,096"
        # The mean over clips, and not the value that was logged.
        assert found.cells[2].scores["val/loss"].value == pytest.approx(0.05 + 0.01 + 0.55 - 0.001)
    else:
        assert (metric.units, metric.num_units, metric.min_seeds) == ("seeds", None, 7)
        assert (judged.units, judged.num_pairs, judged.verdict) == ("seeds", 3, "cannot tell")
