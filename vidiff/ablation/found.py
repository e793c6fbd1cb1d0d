"""What one run gave: figures, curves, costs and videos, as its folder has them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidiff.ablation.cells import Run
from vidiff.ablation.folders import RunFolder
from vidiff.evaluation_report import Report, Video, read_report

COSTS = "costs.json"
CURVES = ("train/loss", "val/")
"""What is drawn of all that training logs: tags that begin like this."""

SHOWN = 12
"""Videos of a run that a report may show, of different prompts from all over the list."""


@dataclass
class Found:
    """What a run gave, as far as it has come.

    Attributes:
        run: which one.
        state: ``done``, ``failed``, ``running`` or ``missing``.
        error: why it failed, in one line.
        attempts: how often work on it was begun.
        values: of each metric: one for each prompt, in their order, NaN where there is none; or
            one alone.
        figures: of each metric, as the evaluation or training reports it.
        record: ``run.json`` of the training.
        costs: counted before it was started.
        curves: scalars by tag: (step, value).
        evaluation: the report of ``vidiff evaluate``.
        videos: some, the same prompts in each run.
        missing: why metrics of a run that is done are nowhere to be found, by name.
    """

    run: Run
    state: str
    error: str = ""
    attempts: int = 0
    values: dict[str, np.ndarray] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    evaluation: Report | None = None
    videos: list[dict[str, Any]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def find(run: Run, folder: RunFolder, metrics: Sequence[str], output: Path) -> Found:
    """Read the folder of a run.

    Args:
        run: which one.
        folder: of it.
        output: from where the paths of videos are given.
        metrics: what is to be known of it; a run that is not done has none.
    """
    status = folder.status()
    done = not folder.left(status)
    busy = not done and folder.is_busy()
    state = "done" if done else "running" if busy else "failed" if status.error else "missing"
    found = Found(run, state, status.error, status.attempts)
    found.record = _json(folder.train / "run.json")
    found.costs = _json(folder.path / COSTS)
    curves = _curves(folder.train) if folder.train.is_dir() else {}
    found.curves = {tag: curve for tag, curve in curves.items() if tag.startswith(CURVES)}
    if not done:
        return found
    reported = folder.folder_of("evaluate")
    if reported is not None:
        found.evaluation = _evaluation(reported / "report.json")
        if found.evaluation:
            found.videos = _videos(found.evaluation, folder, output)
    for name in metrics:
        try:
            found.values[name], found.figures[name] = _values(name, found, curves)
        except ValueError as error:
            found.missing[name] = str(error)
    return found


def _values(
    name: str, found: Found, curves: Mapping[str, list[tuple[int, float]]]
) -> tuple[np.ndarray, float]:
    """A metric's value of each prompt, or the only one; and what it is on the whole.

    Raises:
        ValueError: if there is none; says what there is.
    """
    if "/" in name:
        curve = curves.get(name)
        if not curve:
            known = ", ".join(sorted(tag for tag in curves if "/" in tag)) or "nothing"
            raise ValueError(f"training logged no {name}; it logged {known}")
        return np.array([curve[-1][1]]), curve[-1][1]
    if not found.evaluation:
        raise ValueError(f"{name} is measured on videos, and there is no report of these")
    group = found.evaluation.groups["run"]
    for metric, scores in group.scores.items():
        for score in scores:
            if score.name == name:
                each = _of_videos(group.videos, metric, name)
                return (np.array([score.value]) if each is None else each), score.value
    known = ", ".join(group.by_name)
    why = found.evaluation.not_measured.get(name)
    raise ValueError(f"the evaluation has no {name}" + (f": {why}" if why else f"; it has {known}"))


def _of_videos(videos: Sequence[Video], metric: str, name: str) -> np.ndarray | None:
    """A score of each video, where the metric judges videos one by one."""
    if not any(name in video.found.get(metric, {}) for video in videos):
        return None
    values = np.full(max(video.index for video in videos) + 1, math.nan)
    for video in videos:
        value = video.value(metric, name)
        if value is not None:
            values[video.index] = value
    return values


def _videos(evaluation: Report, folder: RunFolder, output: Path) -> list[dict[str, Any]]:
    every = sorted(evaluation.groups["run"].videos, key=lambda video: video.index)
    first = {video.prompt: video for video in reversed(every)}  # of each prompt
    videos = sorted(first.values(), key=lambda video: video.index)
    videos = videos[:: -(-len(videos) // SHOWN)]
    sampled = folder.folder_of("sample")
    assert sampled is not None, "what is evaluated was sampled"
    return [
        {
            "prompt": video.prompt,
            "path": os.path.relpath(sampled / video.file, output),
            "right": evaluation.mark(video).right,
        }
        for video in videos
    ]


def _evaluation(path: Path) -> Report | None:
    """The report of an evaluation; None if it is missing.

    Raises:
        ValueError: if it is damaged, or another vidiff wrote it; says what to do.
    """
    return read_report(path) if path.is_file() else None


def _curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from vidiff.pages.runs import read_curves

    return read_curves(folder)


def _json(path: Path) -> dict[str, Any]:
    """A file's contents; nothing if it is missing, or being replaced by hand."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}
