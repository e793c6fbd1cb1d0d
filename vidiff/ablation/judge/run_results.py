"""What one run gave: scores, curves, costs and videos, as its folder has them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidiff.ablation.ask.cells import Run
from vidiff.ablation.judge.schema import RunResult, Video
from vidiff.ablation.run.folder import COSTS, RunFolder, read_or_empty
from vidiff.evaluation_report import Group, Report, ScoreInfo, read_report
from vidiff.pages.runs import Curve, read_clip_scores, read_curves

CURVES = ("train/loss", "val/")
"""What is drawn of all that training logs: tags that begin like this."""

SHOWN = 12
"""Videos of a run that a report may show, of different prompts from all over the list."""


@dataclass
class Evaluation:
    """The report of ``vidiff evaluate`` on the videos of a run."""

    report: Report

    @property
    def group(self) -> Group:
        """What was measured on the run's videos."""
        return self.report.groups["run"]

    @property
    def protocol(self) -> dict[str, Any]:
        """How clips were chosen and prepared."""
        protocol = self.report.protocol
        return {"name": protocol.name, "fingerprint": protocol.fingerprint, **protocol.settings}

    def summary(self, score: str) -> str:
        """What a metric says of itself; empty unless the score is its main one."""
        metrics = self.report.metrics.values()
        return next((metric.summary for metric in metrics if metric.main.name == score), "")

    def info(self, score: str) -> ScoreInfo | None:
        """The unit and the limits of a score that it knows."""
        return next((one for _, _, one in self.report.infos() if one.name == score), None)

    def values(self, score: str) -> tuple[np.ndarray, float]:
        """A score of each prompt, or the only one; and of all. An error names those known."""
        for metric, scores in self.group.scores.items():
            for one in scores:
                if one.name == score:
                    each = self._of_each_video(metric, score)
                    return (np.array([one.value]) if each is None else each), one.value
        why = self.report.not_measured.get(score)
        reason = f": {why}" if why else f"; it has {', '.join(self.group.by_name)}"
        raise ValueError(f"the evaluation has no {score}{reason}")

    def _of_each_video(self, metric: str, score: str) -> np.ndarray | None:
        """By the video's index, NaN where there is none; None for metrics of whole sets."""
        videos = self.group.videos
        if not any(score in video.found.get(metric, {}) for video in videos):
            return None
        values = np.full(max(video.index for video in videos) + 1, math.nan)
        for video in videos:
            if (value := video.value(metric, score)) is not None:
                values[video.index] = value
        return values

    def videos(self, folder: Path, output: Path) -> list[Video]:
        """A few videos, the same prompts in each run, with paths from ``output``."""
        every = sorted(self.group.videos, key=lambda video: video.index)
        first = {video.prompt: video for video in reversed(every)}  # of each prompt
        videos = sorted(first.values(), key=lambda video: video.index)
        return [
            Video(
                video.prompt,
                os.path.relpath(folder / video.file, output),
                self.report.mark(video).right,
            )
            for video in videos[:: -(-len(videos) // SHOWN)]
        ]


@dataclass
class RunResults:
    """What a run gave, as far as it has come.

    Attributes:
        record: ``run.json`` of the training.
        costs: counted before it was started.
        values: of each metric: one for each prompt, in their order, NaN where there is none; or
            only one.
        clips: of metrics that validation measured of each clip: the values by the clips' ids.
        missing: why metrics of a run that is done are not there, by name.
    """

    run: Run
    result: RunResult
    record: dict[str, Any]
    costs: dict[str, Any]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    clips: dict[str, dict[str, float]] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    missing: dict[str, str] = field(default_factory=dict)


def read_run(run: Run, folder: RunFolder, metrics: Sequence[str], output: Path) -> RunResults:
    """Read the folder of a run: metrics if it is done, paths of videos from ``output``."""
    status = folder.status()
    done = not folder.left(status)
    busy = not done and folder.is_busy()
    record = read_or_empty(folder.train / "run.json")
    curves = read_curves(folder.train) if folder.train.is_dir() else {}
    result = RunResult(
        id=run.id,
        seed=run.seed,
        state="done" if done else "running" if busy else "failed" if status.error else "missing",
        error=status.error,
        attempts=status.attempts,
        scores={},
        step=record.get("step"),
        seconds_per_step=record.get("seconds_per_step"),
        seconds=record.get("training_seconds"),
        curves={tag: curve for tag, curve in curves.items() if tag.startswith(CURVES)},
        videos=[],
    )
    found = RunResults(run, result, record, read_or_empty(folder.path / COSTS))
    if not done:
        return found
    sampled, evaluated = folder.folder_of("sample"), folder.folder_of("evaluate")
    if sampled and evaluated and (evaluated / "report.json").is_file():
        found.evaluation = Evaluation(read_report(evaluated / "report.json"))
        result.videos = found.evaluation.videos(sampled, output)
    clips = read_clip_scores(folder.train)
    for name in metrics:
        try:
            if "/" in name:
                result.scores[name] = _logged(name, curves)
                found.values[name] = np.array([result.score(name)])
                found.clips |= {name: clips[name]} if name in clips else {}
            elif found.evaluation is None:
                raise ValueError(f"{name} is measured on videos, and there is no report of these")
            else:
                found.values[name], score = found.evaluation.values(name)
                result.scores[name] = [(result.step or 0, score)]
        except ValueError as error:
            found.missing[name] = str(error)
    return found


def _logged(name: str, curves: Mapping[str, Curve]) -> Curve:
    if not (curve := curves.get(name)):
        known = ", ".join(sorted(tag for tag in curves if "/" in tag)) or "nothing"
        raise ValueError(f"training logged no {name}; it logged {known}")
    return curve
