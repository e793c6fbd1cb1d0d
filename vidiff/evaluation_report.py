"""The report of an evaluation, ``report.json``: what ``vidiff evaluate`` writes and others read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vidiff import schema

NAME, VERSION = "vidiff evaluation", 2

Interval = tuple[float, float]
Row = dict[str, Any]
"""What a metric finds of one clip: plain values under fixed names, fit for JSON."""


@dataclass(frozen=True)
class Score:
    """A number that is reported, and how sure it is.

    Attributes:
        name: unique among all metrics.
        value: the number; NaN where it is not known.
        interval: the 95 % confidence interval; None where nothing can be said.
        method: how the interval was found; empty without one.
        detail: what else there is to say, as plain values.
    """

    name: str
    value: float
    interval: Interval | None = None
    method: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.interval is None or not all(map(math.isfinite, self.interval)):
            object.__setattr__(self, "interval", None)
            object.__setattr__(self, "method", "")

    @property
    def is_known(self) -> bool:
        """Whether the value is a number."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class ScoreInfo:
    """What is known of a score before it is measured.

    Attributes:
        name: of the score.
        unit: ``share`` (of 1), ``dB``, …; empty for a plain number.
        limits: the least and the largest possible value; None where there is no limit.
    """

    name: str
    unit: str = ""
    limits: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class Marks:
    """How a metric marks single clips as right or wrong, for pages.

    Attributes:
        right: key of its rows: whether the clip is right.
        instead: key of its rows: what a wrong clip shows instead of its prompt.
        score: the name of a score to be shown with the mark.
        label: what that score is called on pages.
    """

    right: str
    instead: str = ""
    score: str = ""
    label: str = ""


@dataclass(frozen=True)
class NoiseFloor:
    """A distance between disjoint random parts of the real clips, of ``num_clips`` each.

    Attributes:
        repeats: draws.
        is_upper_bound: whether the parts are smaller than a group, so that the floor of as many
            clips is lower.
    """

    num_clips: int
    mean: float
    quantile_95: float
    repeats: int
    is_upper_bound: bool


@dataclass(frozen=True)
class MetricInfo:
    """What a metric says of itself.

    Attributes:
        kind: whether it measures single ``clips``, ``pairs`` or ``sets``.
        scores: the main one first.
        higher_is_better: of the main score; None where neither is.
        summary: the first line of its description.
        settings: everything that decides the scores.
        needs_real: whether it compares with real videos.
        needs_prompts: whether it judges videos by their prompts.
        min_clips: clips that it needs, of each side.
        depends_on_number: whether fewer clips give other scores, not only less certain ones.
        marks: how pages mark its clips; None where it marks none.
        noise_floor: of the main score; None where there is none, or too few real clips.
    """

    kind: Literal["clips", "pairs", "sets"]
    scores: list[ScoreInfo]
    higher_is_better: bool | None = None
    summary: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    needs_real: bool = False
    needs_prompts: bool = False
    min_clips: int = 1
    depends_on_number: bool = False
    marks: Marks | None = None
    noise_floor: NoiseFloor | None = None

    @property
    def names(self) -> list[str]:
        """Names of the scores, the main one first."""
        return [score.name for score in self.scores]

    @property
    def main(self) -> ScoreInfo:
        """The main score."""
        return self.scores[0]

    @property
    def has_rows(self) -> bool:
        """Whether it finds something of each clip."""
        return self.kind != "sets"

    def is_higher_better(self, name: str) -> bool | None:
        """Which way a score is better; None where neither is, as of all but the main one."""
        return self.higher_is_better if name == self.main.name else None

    def floor_of(self, name: str) -> float | None:
        """What 95 % of real-against-real comparisons stay below, if that is known of a score."""
        floor = self.noise_floor if name == self.main.name else None
        return floor.quantile_95 if floor else None


@dataclass
class Video:
    """A clip of a group: ``file`` is within the group's folder, ``start`` in seconds.

    Attributes:
        id: unique within the group.
        found: by metric, what it found of the clip.
    """

    id: str
    file: str
    index: int
    prompt: str = ""
    seed: int | None = None
    sha256: str = ""
    start: float = 0.0
    found: dict[str, Row] = field(default_factory=dict)

    def value(self, metric: str, name: str) -> float | None:
        """A number that a metric found; None where there is none."""
        value = self.found.get(metric, {}).get(name)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        return float(value)


@dataclass(frozen=True)
class SkippedFile:
    """A file that could not be used, and why."""

    file: str
    reason: str


@dataclass
class Group:
    """A set of clips, generated or real.

    Attributes:
        num_clips: of the set.
        folder: that they come from.
        sha256: of all clips.
        skipped: files that could not be used.
        fps: frames per second of the clips, each rate once.
        scores: by metric; no scores where it could not be measured.
        videos: all clips.
        compared: by metric, all that has to be equal for scores to be comparable.
        fingerprints: by metric, of that.
    """

    num_clips: int
    folder: str = ""
    sha256: str = ""
    skipped: list[SkippedFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    fps: list[float] = field(default_factory=list)
    scores: dict[str, list[Score]] = field(default_factory=dict)
    videos: list[Video] = field(default_factory=list)
    compared: dict[str, dict[str, Any]] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)

    @property
    def by_name(self) -> dict[str, Score]:
        """All scores by their names."""
        return {score.name: score for some in self.scores.values() for score in some}


@dataclass(frozen=True)
class ProtocolInfo:
    """The protocol that clips were chosen and read by."""

    name: str
    fingerprint: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sanity:
    """Scores of real clips with something done to them.

    Attributes:
        num_clips: of each half.
        rows: scores by name; the row ``real`` is of clips as they are.
        meaning: of each row.
    """

    num_clips: int
    rows: dict[str, dict[str, float]]
    meaning: dict[str, str]


@dataclass(frozen=True)
class Line:
    """A line of a chart."""

    label: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """A chart of how a score changes."""

    title: str
    x: str
    y: str
    series: list[Line]


@dataclass
class Report:
    """All that an evaluation found.

    Attributes:
        groups: generated clips.
        metrics: all that were measured.
        protocol: that clips were chosen by.
        real: the real clips; None without any.
        created: when, in ISO 8601.
        versions: of packages.
        hardware: that it was measured on.
        precision: by group, what it was trained and sampled in.
        sanity: None without real clips.
        curves: charts.
        not_measured: why, by what was not.
        warnings: what a reader has to know before using the scores.
    """

    groups: dict[str, Group]
    metrics: dict[str, MetricInfo]
    protocol: ProtocolInfo
    real: Group | None = None
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    precision: dict[str, dict[str, str]] = field(default_factory=dict)
    sanity: Sanity | None = None
    curves: list[Curve] = field(default_factory=list)
    not_measured: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def infos(self) -> Iterator[tuple[str, MetricInfo, ScoreInfo]]:
        """Every score: its metric's name and description, and its own."""
        for name, metric in self.metrics.items():
            yield from ((name, metric, score) for score in metric.scores)

    def mark(self, video: Video) -> Mark:
        """Whether a clip is right, by the first metric that marks it."""
        for name, metric in self.metrics.items():
            row = video.found.get(name, {})
            if metric.marks and metric.marks.right in row:
                score = next((s for s in metric.scores if s.name == metric.marks.score), None)
                return Mark(
                    bool(row[metric.marks.right]),
                    str(row.get(metric.marks.instead, "")),
                    video.value(name, metric.marks.score),
                    score.unit if score else "",
                )
        return Mark()


@dataclass(frozen=True)
class Mark:
    """What a metric says of a single clip, as pages show it.

    Attributes:
        right: None where no metric marks the clip.
        instead: what a wrong clip shows instead of its prompt.
        value: of the score that is shown with the mark.
        unit: of that.
    """

    right: bool | None = None
    instead: str = ""
    value: float | None = None
    unit: str = ""

    @property
    def word(self) -> str:
        """``right``, ``wrong``, or empty."""
        return {True: "right", False: "wrong", None: ""}[self.right]


def read_report(path: Path) -> Report:
    """Read a report.

    Raises:
        ValueError: if the file is missing, something else, or of another version; says what to do.
    """
    return schema.read(
        Report, path, NAME, VERSION,
        command="`vidiff evaluate`", note=" (features that it stored are not taken again)",
    )  # fmt: skip


def write_report(path: Path, report: Report) -> None:
    """Write a report."""
    schema.write(path, report, NAME, VERSION)
