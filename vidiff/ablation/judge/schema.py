"""What an ablation gave: the content of ``results.json``, with its one reader and one writer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidiff import schema
from vidiff.ablation.ask.file import Budget, Match
from vidiff.ablation.judge.statistics.comparison import Comparison, Units
from vidiff.ablation.judge.statistics.contrasts import Effect
from vidiff.ablation.judge.statistics.intervals import Estimate

NAME, VERSION = "vidiff ablation", 3


@dataclass
class FailedRun:
    """A run that failed, and why, in one line."""

    run: str
    cell: str
    seed: int
    error: str


@dataclass
class Status:
    """How many runs there are, and what became of them."""

    runs: int
    done: int
    failed: list[FailedRun]
    missing: int


@dataclass
class Chosen:
    """The precision that was chosen for ``auto``: why, and for which device."""

    precision: str
    why: str
    device: str


@dataclass
class Precision:
    """The runs of each precision, and what was chosen if a choice was asked for."""

    runs: dict[str, list[str]]
    chosen: Chosen | None


@dataclass
class Metric:
    """A metric of the ablation.

    Attributes:
        unit: ``share`` for values from 0 to 1; None for a plain number.
        units: what its values are of, by which cells are paired; ``num_units`` of them.
        min_seeds: the fewest with which a verdict is possible; None if no number is enough.
        limits: the least and the largest possible value; None where there is no limit.
    """

    higher_is_better: bool
    summary: str
    unit: str | None
    units: Units
    num_units: int | None = None
    min_seeds: int | None = None
    limits: tuple[float | None, float | None] = (None, None)

    @property
    def is_share(self) -> bool:
        """Whether values are shares, shown in percent."""
        return self.unit == "share"


@dataclass
class Costs:
    """What a run of a cell takes: counts, and means over the runs that trained.

    ``memory_of`` is what the memory was measured of: ``gpu`` or ``process``.
    """

    parameters: int | None
    flops_per_step: int | None
    steps: int | None
    flops: int | None
    seconds_per_step: float | None
    seconds: float | None
    seconds_before: float
    memory_bytes: float | None
    memory_of: str


@dataclass
class Video:
    """A generated video: its file, from the folder of the report, and whether it is right."""

    prompt: str
    path: str
    right: bool | None


@dataclass
class RunResult:
    """What one run gave.

    Attributes:
        scores: by metric, of each checkpoint that was measured: (step, score) in order. The last
            one is of the end of the training, and the one that cells are judged by.
        curves: by tag, (step, value).
    """

    id: str
    seed: int
    state: str
    error: str
    attempts: int
    scores: dict[str, list[tuple[int, float]]]
    step: int | None
    seconds_per_step: float | None
    seconds: float | None
    curves: dict[str, list[tuple[int, float]]]
    videos: list[Video]

    def score(self, metric: str) -> float:
        """The score that the run is judged by; NaN where there is none."""
        found = self.scores.get(metric)
        return found[-1][1] if found else math.nan


@dataclass
class CellResult:
    """What a cell gave: its means, and its differences from the baseline, by metric."""

    name: str
    choices: dict[str, str]
    is_baseline: bool
    solved: dict[str, Any]
    equality: float | None
    costs: Costs
    runs: list[RunResult]
    scores: dict[str, Estimate]
    differences: dict[str, Comparison]


@dataclass
class NotFound:
    """A metric that runs lack though they are done."""

    metric: str
    reason: str
    runs: list[str]


@dataclass
class Prompts:
    """How many prompts there are, and the hash of their text."""

    number: int
    sha256: str


@dataclass
class Provenance:
    """Where the scores come from; of what differs between runs, all there is."""

    runs: list[str]
    source: Any
    versions: Any
    hardware: Any
    data: dict[str, Any]
    validation: Any
    evaluation_protocol: Any
    prompts: Prompts | None
    sampling: dict[str, Any] | None
    evaluation: dict[str, Any] | None
    launcher: str


@dataclass
class Results:
    """All that an ablation gave; effects are those of crossed axes, by metric."""

    name: str
    question: str
    created: str
    file: str
    status: Status
    axes: dict[str, list[str]]
    baseline: str
    seeds: list[int]
    match: Match | None
    precision: Precision
    budget: Budget
    metrics: dict[str, Metric]
    cells: list[CellResult]
    not_found: list[NotFound]
    main_effects: dict[str, list[Effect]]
    interactions: dict[str, list[Effect]]
    provenance: Provenance

    def best_cells(self, most: int) -> list[CellResult]:
        """The baseline, then others; of more than ``most``, those best by the first metric."""
        others = [cell for cell in self.cells if not cell.is_baseline]
        name, metric = next(iter(self.metrics.items()))

        def badness(cell: CellResult) -> float:
            value = cell.scores[name].value if name in cell.scores else math.nan
            if math.isnan(value):
                return math.inf
            return -value if metric.higher_is_better else value

        baseline = [cell for cell in self.cells if cell.is_baseline]
        best = {cell.name for cell in sorted(others, key=badness)[: max(0, most - len(baseline))]}
        return baseline + [cell for cell in others if cell.name in best]


def write_results(results: Results, path: Path) -> None:
    """Write results as JSON."""
    schema.write(path, results, NAME, VERSION)


def read_results(path: Path) -> Results:
    """Read what ``write_results`` wrote; raises a ``ValueError`` that says what to do instead."""
    return schema.read(Results, path, NAME, VERSION, command="`vidiff ablate FILE.yaml --report`")
