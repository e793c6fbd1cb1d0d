"""What runs gave reaches the results, and is judged as the statistics say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidiff.ablation.cells import expand, make_runs
from vidiff.ablation.file import Ablation, Match
from vidiff.ablation.folders import RunFolder, Status, make_folder
from vidiff.ablation.found import COSTS
from vidiff.ablation.results import collect
from vidiff.evaluation_report import (
    Group,
    Marks,
    MetricInfo,
    ProtocolInfo,
    Report,
    Score,
    ScoreInfo,
    Video,
    write_report,
)  # fmt: skip
from vidiff.files import write_json

BASE: dict[str, Any] = {
    "data": {"batch_size": 8},
    "model": {"class_path": "DiffusionTask", "init_args": {"denoiser": {"class_path": "dit"}}},
    "trainer": {"max_steps": 10},
}
NUM_PROMPTS = 20
ACCURACY = {"flow": 0.5, "sample": 0.95}
"""Share of right videos by prediction; the width changes nothing."""


def make_ablation(folder: Path, **changes: Any) -> Ablation:
    axes = {
        "prediction": {name: {"model.prediction": name} for name in ACCURACY},
        "width": {str(width): {"model.denoiser.width": width} for width in (8, 16)},
    }
    given: dict[str, Any] = {
        "question": "Which?", "base": "base.yaml", "axes": axes, "seeds": [0, 1, 2],
        "metrics": {"prompt_accuracy": "higher", "val/loss": "lower"},
        "samples": {"prompts": ";".join(f"prompt {index % 8}" for index in range(NUM_PROMPTS))},
        "evaluation": {"metrics": "prompt_accuracy"},
        "output": str(folder / "out"), "runs": str(folder / "runs"),
    }  # fmt: skip
    return Ablation(**(given | changes))


def finish(folder: RunFolder, accuracy: float, seed: int, fingerprint: str = "same") -> None:
    """Leave behind what the commands of a run leave."""
    from torch.utils.tensorboard import SummaryWriter

    right = np.arange(NUM_PROMPTS) < round(accuracy * NUM_PROMPTS)
    right = np.random.default_rng(seed).permutation(right)
    name = "prompt_accuracy"
    videos = [
        Video(
            f"{index}.mp4", f"{index}.mp4", index, f"prompt {index % 8}",
            found={name: {name: bool(r), "right": bool(r)}},
        )
        for index, r in enumerate(right)
    ]  # fmt: skip
    group = Group(
        len(videos),
        videos=videos[::-1],  # in any order
        scores={name: [Score(name, float(right.mean()))]},
        fingerprints={name: fingerprint},
    )
    metric = MetricInfo(
        "clips", [ScoreInfo(name, "share", (0, 1))], summary="Share of right videos.",
        marks=Marks("right"),
    )  # fmt: skip
    reported = folder.folder_of("evaluate")
    assert reported is not None
    write_report(
        reported / "report.json",
        Report({"run": group}, {name: metric}, ProtocolInfo("whole")),
    )
    with SummaryWriter(str(folder.train)) as writer:
        for step in (5, 10):
            writer.add_scalar("val/loss", 1 - accuracy + 0.01 * seed + (10 - step), step)
            writer.add_scalar("throughput/clips_per_second", 7, step)
    write_json(
        folder.train / "run.json",
        {"status": "finished", "step": 10, "training_seconds": 3.0, "seconds_per_step": 0.2,
         "peak_memory_bytes": {"process": 10**9}, "versions": {"torch": "2"},
         "config_sha256": f"{accuracy}"},
    )  # fmt: skip
    write_json(folder.path / COSTS, {"parameters": 100, "flops_per_step": 1000, "steps": 10})
    folder.record(Status({phase.key: 1.0 for phase in folder.phases}, 1, "", 3.0))


def work(ablation: Ablation) -> tuple[list[Any], dict[str, RunFolder]]:
    runs = make_runs(expand(ablation.axes), BASE, ablation.seeds)
    store = Path(str(ablation.runs))
    return runs, {
        run.id: make_folder(run, store, ablation.samples, ablation.evaluation)[0] for run in runs
    }


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Any]:
    ablation = make_ablation(tmp_path)
    runs, folders = work(ablation)
    for run in runs:
        finish(folders[run.id], ACCURACY[run.cell.choices["prediction"]], run.seed)
    found = collect(ablation, tmp_path / "question" / "ablation.yaml", runs, folders, {"x": 1})
    json.dumps(found, allow_nan=False)
    return found


def test_figures_are_those_of_the_evaluation_and_of_training(results: dict[str, Any]) -> None:
    cells = {cell["name"]: cell for cell in results["cells"]}
    assert results["status"] == {"runs": 12, "done": 12, "failed": [], "missing": 0}
    best = cells["prediction=sample, width=8"]
    assert best["figures"]["prompt_accuracy"]["value"] == pytest.approx(0.95)
    assert best["figures"]["val/loss"]["value"] == pytest.approx(0.06, abs=1e-6)
    assert [run["figures"]["prompt_accuracy"] for run in best["runs"]] == [0.95] * 3
    (curve,) = best["runs"][1]["curves"].values()
    assert curve == [[5, pytest.approx(5.06)], [10, pytest.approx(0.06)]]
    assert best["costs"]["flops"] == 10_000
    assert (best["costs"]["memory_bytes"], best["costs"]["memory_of"]) == (1e9, "process")
    assert results["metrics"]["prompt_accuracy"]["per_prompt"]
    assert results["metrics"]["prompt_accuracy"]["summary"] == "Share of right videos."
    assert results["metrics"]["val/loss"]["num_prompts"] is None
    assert results["provenance"]["data"] == {"x": 1}


def test_what_is_better_is_said_and_what_is_alike_is_not(results: dict[str, Any]) -> None:
    cells = {cell["name"]: cell for cell in results["cells"]}
    assert results["baseline"] == "prediction=flow, width=8"
    assert cells[results["baseline"]]["differences"] == {}
    better = cells["prediction=sample, width=16"]["differences"]["prompt_accuracy"]
    assert better["difference"] == pytest.approx(0.45)
    assert better["verdict"] == "better"
    assert better["num_pairs"] == 3 * NUM_PROMPTS
    alike = cells["prediction=flow, width=16"]["differences"]["prompt_accuracy"]
    assert alike["verdict"] == "cannot tell"
    (effect,) = [e for e in results["main_effects"]["prompt_accuracy"] if e["axis"] == "prediction"]
    assert effect["difference"] == pytest.approx(0.45)
    assert len(results["interactions"]["prompt_accuracy"]) == 1


def test_videos_are_found_from_the_folder_of_the_report(
    results: dict[str, Any], tmp_path: Path
) -> None:
    videos = results["cells"][0]["runs"][0]["videos"]
    names = [f"{number}.mp4" for number in range(8)]
    assert [Path(video["path"]).name for video in videos] == names, "one of each prompt"
    assert {video["right"] for video in videos} <= {True, False}
    assert (tmp_path / "out" / videos[0]["path"]).resolve().is_relative_to(tmp_path / "runs")


def test_runs_that_failed_or_are_missing_are_counted_and_the_others_judged(tmp_path: Path) -> None:
    ablation = make_ablation(tmp_path)
    runs, folders = work(ablation)
    for run in runs[:8]:
        finish(folders[run.id], ACCURACY[run.cell.choices["prediction"]], run.seed)
    failed = folders[runs[8].id]
    failed.path.mkdir(parents=True)
    failed.record(Status({}, 2, "fit: no memory (exit status 1)", 1.0))
    found = collect(ablation, tmp_path / "a" / "ablation.yaml", runs, folders)
    assert (found["status"]["done"], found["status"]["missing"]) == (8, 3)
    assert found["status"]["failed"][0]["error"] == "fit: no memory (exit status 1)"
    better = found["cells"][2]["differences"]["prompt_accuracy"]
    assert better["num_seeds"] == 2


def test_figures_that_were_measured_differently_are_not_compared(tmp_path: Path) -> None:
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
        (entry,) = collect(ablation, tmp_path / "a.yaml", runs, folders)["not_found"]
        assert (entry["metric"], entry["runs"]) == (metric, [runs[0].id])
        assert said in entry["reason"]


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
    assert found["cells"][0]["equality"] == 1.0
    assert found["cells"][1]["equality"] == pytest.approx((0.5 + 7 * 0.2) / 2.0)
