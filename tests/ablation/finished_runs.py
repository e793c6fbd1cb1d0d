"""Runs as their commands leave them behind, without running any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from vidiff.ablation.ask.cells import expand, make_runs
from vidiff.ablation.ask.file import Ablation
from vidiff.ablation.judge.schema import Results
from vidiff.ablation.report.content import Content
from vidiff.ablation.run.folder import COSTS, RunFolder, Status, make_folder
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
)
from vidiff.files import write_json, write_text
from vidiff.pages.runs import clip_scores_file
from vidiff.registry import get_component

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


def leave_clips(folder: RunFolder, accuracy: float, seed: int, num_clips: int = 12) -> None:
    """Leave behind what the last validation measured of each clip, in any order."""
    numbers = np.random.default_rng(seed).permutation(num_clips)
    lines = [
        json.dumps({"id": f"val/{k}", "val/loss": 1 - accuracy + 0.01 * seed + 0.1 * int(k)})
        for k in numbers
    ]
    write_text(clip_scores_file(folder.train, 0), "\n".join(lines[:7]) + "\n")
    write_text(clip_scores_file(folder.train, 1), "\n".join(lines[7:]) + "\n")


def render(name: str, results: Results, folder: Path, **given: Any) -> str:
    """The first file of a format of the report, as text."""
    import vidiff.ablation.report.writers  # noqa: F401, registers them

    files = get_component("report", name).cls().render(Content(results, folder, **given))
    data = next(iter(files.values()))
    return data if isinstance(data, str) else data.decode()


def work(ablation: Ablation) -> tuple[list[Any], dict[str, RunFolder]]:
    runs = make_runs(expand(ablation.axes), BASE, ablation.seeds)
    store = Path(str(ablation.runs))
    return runs, {
        run.id: make_folder(run, store, ablation.samples, ablation.evaluation)[0] for run in runs
    }
