"""Content of a report: runs, groups of videos, and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from vidiff.evaluation_report import Mark, Marks, MetricInfo, Report, Score, Video, read_report
from vidiff.files import sha256
from vidiff.pages.runs import Run, read_run
from vidiff.schema import plain
from vidiff_eval.clips.sample_index import Sample, parse_groups, read_samples

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class Clip:
    """One video of a group: its sample, where there is one, and how it is marked."""

    prompt: str
    index: int
    seed: int | None
    sample: Sample | None
    mark: Mark = field(default_factory=Mark)

    @property
    def original(self) -> str:
        """The prompt before it was rewritten; empty if it was not."""
        was = self.sample.original if self.sample else ""
        return "" if was == self.prompt else was


@dataclass(frozen=True)
class Group:
    """Videos that belong together, such as those of prompts seen in training."""

    name: str  # of the group
    videos: list[Clip]  # all of them
    shown: list[Clip]  # those that the page plays
    scores: dict[str, Score] = field(default_factory=dict)  # by name, if it was evaluated
    marking: MetricInfo | None = None  # the metric that marks the videos; None without one

    @property
    def share(self) -> Score | None:
        """The share of right videos, if a metric marks them and reports that."""
        if self.marking is None or self.marking.main.unit != "share":
            return None
        score = self.scores.get(self.marking.main.name)
        return score if score and score.is_known else None

    def count(self, word: str) -> int:
        """How many videos are marked ``right``, or ``wrong``."""
        return sum(video.mark.word == word for video in self.videos)


@dataclass(frozen=True)
class Content:
    """All that a report is made from; any part may be empty."""

    runs: list[Run]
    groups: list[Group]
    evaluation: Report | None = None

    @property
    def how_measured(self) -> dict[str, Any]:
        """How the scores came about."""
        names = ("created", "versions", "hardware", "protocol", "metrics", "not_measured")
        return {name: getattr(self.evaluation, name) for name in names if self.evaluation}

    @property
    def training_seconds(self) -> float | None:
        """Of all runs together."""
        return _total(run.training_seconds for run in self.runs)

    @property
    def num_parameters(self) -> int | None:
        """Trained parameters of all runs together."""
        return _total(run.num_parameters for run in self.runs)

    @property
    def marked(self) -> list[Clip]:
        """Videos of all groups that a metric marks."""
        return [v for group in self.groups for v in group.videos if v.mark.word]

    @property
    def mean(self) -> Mark | None:
        """Mean over all marked videos of the score that is shown with the marks."""
        known = [(v.mark.value, v.mark.unit) for v in self.marked if v.mark.value is not None]
        values = [value for value, _ in known]
        return Mark(value=sum(values) / len(values), unit=known[0][1]) if known else None

    @property
    def marks(self) -> Marks | None:
        """How videos are marked, if they are."""
        return next((g.marking.marks for g in self.groups if g.marking), None)


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
    judged = read_report(evaluation) if evaluation else None
    groups = judged.groups if judged else {}
    folders = parse_groups(samples)
    names = list(dict.fromkeys([*groups, *folders]))
    return Content(
        runs=_distinct([read_run(folder) for folder in runs]),
        groups=[_group(name, judged, folders.get(name), num_videos) for name in names],
        evaluation=judged,
    )


def report_scores(content: Content) -> dict[str, Any]:
    """The scores of a report, for ``report.json``; what is not known is null."""
    return {
        "scores": {group.name: plain(group.scores) for group in content.groups if group.scores},
        "training_seconds": content.training_seconds,
        "parameters": content.num_parameters,
        "config": {run.name: run.config for run in content.runs},
        "runs": {
            run.name: {key: value for key, value in run.record.items() if key != "config"}
            for run in content.runs
        },
        "evaluation": plain(content.how_measured) if content.evaluation else None,
    }


def _total(values: Iterable[N | None]) -> N | None:
    """The sum of the values that are known; None if none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _group(name: str, judged: Report | None, folder: Path | None, num_videos: int) -> Group:
    samples = read_samples(folder) if folder else []
    found = judged.groups.get(name) if judged else None
    rows = found.videos if found else []
    if samples and rows:
        samples = _judged_ones(name, samples, rows)
    if judged and rows:
        videos = [
            Clip(row.prompt, row.index, row.seed, samples[k] if samples else None, judged.mark(row))
            for k, row in enumerate(rows)
        ]
    else:
        videos = [Clip(s.prompt, s.index, s.seed, s) for s in samples]
    wrong_first = sorted(videos, key=lambda video: video.mark.word != "wrong")
    shown = [video for video in wrong_first if video.sample][:num_videos]
    marking = next((m for m in judged.metrics.values() if m.marks), None) if judged else None
    return Group(name, videos, shown, found.by_name if found else {}, marking)


def _judged_ones(name: str, samples: list[Sample], rows: list[Video]) -> list[Sample]:
    """The sample of each row: marks next to other videos than those judged would mislead."""
    by_file = {sample.file: sample for sample in samples}
    same = all(row.file in by_file and sha256(by_file[row.file].path) == row.sha256 for row in rows)
    if not same:
        raise ValueError(
            f"the evaluation's group {name!r} is of other videos than {samples[0].folder} holds; "
            "run `vidiff evaluate` again"
        )
    return [by_file[row.file] for row in rows]


def _distinct(runs: list[Run]) -> list[Run]:
    """Runs whose folders have one name are numbered."""
    named: dict[str, Run] = {}
    for run in runs:
        name, number = run.name, 2
        while name in named:
            name, number = f"{run.name} ({number})", number + 1
        named[name] = replace(run, name=name)
    return list(named.values())
