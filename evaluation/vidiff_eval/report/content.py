"""What a report is about: runs, groups of videos, and what was found of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vidiff.files import read_json, sha256
from vidiff.pages.runs import Run, read_run
from vidiff_eval.samples import Sample, parse_groups, read_samples

FORMAT = "vidiff evaluation 1"

HOW_MEASURED = ("created", "versions", "hardware", "protocol", "metrics", "not_measured")
"""Parts of an evaluation that say how its figures came about."""

Mark = Literal["right", "wrong", ""]


@dataclass(frozen=True)
class Video:
    """One video of a group: its sample, where there is one, and what was found of it."""

    prompt: str
    index: int
    seed: int | None
    sample: Sample | None
    found: dict[str, Any]

    @property
    def mark(self) -> Mark:
        """Empty where nothing judged the video."""
        if "right" not in self.found:
            return ""
        return "right" if self.found["right"] else "wrong"


@dataclass(frozen=True)
class Group:
    """Videos that belong together, such as those of prompts seen in training.

    Attributes:
        name: of the group.
        videos: all of them.
        shown: those that the page plays.
        summary: the figures of the group by name, as the evaluation has them; empty without one.
    """

    name: str
    videos: list[Video]
    shown: list[Video]
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """Share of prompts that the videos show, if that was measured."""
        value = self.summary.get("prompt_accuracy", {}).get("value")
        return None if value is None else float(value)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Where the true share lies, with 95 % confidence; (0, 1) where nothing is said."""
        low, high = self.summary.get("prompt_accuracy", {}).get("interval_95") or (0.0, 1.0)
        return low, high

    def count(self, mark: Mark) -> int:
        """How many videos carry ``mark``."""
        return sum(video.mark == mark for video in self.videos)


@dataclass(frozen=True)
class Content:
    """All that a report is made from; any part may be empty."""

    runs: list[Run]
    groups: list[Group]
    evaluation: dict[str, Any]

    @property
    def training_seconds(self) -> float | None:
        """Of all runs together."""
        known = [run.training_seconds for run in self.runs if run.training_seconds is not None]
        return sum(known) if known else None

    @property
    def num_parameters(self) -> int | None:
        """Trained parameters of all runs together."""
        known = [run.num_parameters for run in self.runs if run.num_parameters is not None]
        return sum(known) if known else None

    @property
    def psnr_db(self) -> float | None:
        """Mean over all videos that were judged."""
        known = [v.found["psnr_db"] for g in self.groups for v in g.videos if "psnr_db" in v.found]
        return sum(known) / len(known) if known else None

    @property
    def accuracies(self) -> dict[str, float]:
        """Prompt accuracy of each group that has one."""
        return {g.name: g.accuracy for g in self.groups if g.accuracy is not None}


def read_content(
    *,
    runs: Sequence[Path] = (),
    evaluation: Path | None = None,
    samples: Sequence[str] = (),
    num_videos: int = 24,
) -> Content:
    """Read what a report is made from.

    Args:
        runs: folders of runs, in the order they were trained in.
        evaluation: what ``vidiff evaluate`` wrote.
        samples: samples folders, each as ``NAME=DIR`` or ``DIR``.
        num_videos: how many of each group to show: all wrong ones first, then the others.

    Raises:
        ValueError: if nothing is given, a part cannot be read, or the evaluation is of other videos
            than the samples.
    """
    if not (runs or evaluation or samples):
        raise ValueError("nothing to report: give --run, --evaluation or --samples")
    if num_videos < 0:
        raise ValueError(f"num_videos must not be negative, got {num_videos}")
    judged = read_json(evaluation) if evaluation else {}
    if evaluation and not (isinstance(judged, dict) and judged.get("format") == FORMAT):
        raise ValueError(f"{evaluation} is no evaluation; give one that `vidiff evaluate` wrote")
    groups = judged.get("groups", {})
    folders = parse_groups(samples)
    names = list(dict.fromkeys([*groups, *folders]))
    return Content(
        runs=_distinct([read_run(folder) for folder in runs]),
        groups=[_group(name, groups.get(name), folders.get(name), num_videos) for name in names],
        evaluation={key: judged[key] for key in HOW_MEASURED if key in judged},
    )


def report_figures(content: Content) -> dict[str, Any]:
    """The figures of a report, for ``report.json``; what is not known is null."""
    return {
        "prompt_accuracy": content.accuracies or None,
        "psnr_db": content.psnr_db,
        "training_seconds": content.training_seconds,
        "parameters": content.num_parameters,
        "config": {run.name: run.config for run in content.runs},
        "groups": {group.name: group.summary for group in content.groups},
        "runs": {
            run.name: {key: value for key, value in run.record.items() if key != "config"}
            for run in content.runs
        },
        "evaluation": content.evaluation or None,
    }


def _group(name: str, judged: dict[str, Any] | None, folder: Path | None, num_videos: int) -> Group:
    samples = read_samples(folder) if folder else []
    rows = judged["videos"] if judged else []
    if samples and rows:
        samples = _judged_ones(name, samples, rows)
    if rows:
        videos = [
            Video(row["prompt"], row["index"], row["seed"], samples[k] if samples else None,
                  row["found"].get("prompt_accuracy", {}))
            for k, row in enumerate(rows)
        ]  # fmt: skip
    else:
        videos = [Video(s.prompt, s.index, s.seed, s, {}) for s in samples]
    wrong_first = sorted(videos, key=lambda video: video.mark != "wrong")
    shown = [video for video in wrong_first if video.sample][:num_videos]
    figures = judged["figures"].values() if judged else []
    return Group(name, videos, shown, {f["name"]: f for some in figures for f in some})


def _judged_ones(name: str, samples: list[Sample], rows: list[dict[str, Any]]) -> list[Sample]:
    """The sample of each row: marks beside other videos than those judged would mislead."""
    by_file = {sample.file: sample for sample in samples}
    same = all(
        row["file"] in by_file and sha256(by_file[row["file"]].path) == row["sha256"]
        for row in rows
    )
    if not same:
        raise ValueError(
            f"the evaluation's group {name!r} is of other videos than {samples[0].folder} holds; "
            "run `vidiff evaluate` again"
        )
    return [by_file[row["file"]] for row in rows]


def _distinct(runs: list[Run]) -> list[Run]:
    """Runs whose folders have one name are numbered."""
    named: dict[str, Run] = {}
    for run in runs:
        name, number = run.name, 2
        while name in named:
            name, number = f"{run.name} ({number})", number + 1
        named[name] = replace(run, name=name)
    return list(named.values())
