"""What an ablation gave: the content of ``results.json``, with its one reader and one writer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from vidiff.ablation.ask.file import Budget, Match
from vidiff.ablation.judge.statistics import Comparison, Effect, Estimate
from vidiff.files import read_json, write_json

FORMAT = "vidiff ablation 2"
"""Version 1 called scores figures."""


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
    """A metric of the ablation: ``unit`` is ``share`` for values from 0 to 1."""

    higher_is_better: bool
    summary: str
    unit: str | None
    per_prompt: bool
    num_prompts: int | None = None

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
    """What one run gave: ``scores`` by metric, ``curves`` of (step, value) by tag."""

    id: str
    seed: int
    state: str
    error: str
    attempts: int
    scores: dict[str, float]
    step: int | None
    seconds_per_step: float | None
    seconds: float | None
    curves: dict[str, list[tuple[int, float]]]
    videos: list[Video]


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
        baseline = [cell for cell in self.cells if cell.is_baseline]
        others = [cell for cell in self.cells if not cell.is_baseline]
        name, metric = next(iter(self.metrics.items()))

        def badness(cell: CellResult) -> float:
            value = cell.scores[name].value if name in cell.scores else math.nan
            if math.isnan(value):
                return math.inf
            return -value if metric.higher_is_better else value

        best = sorted(range(len(others)), key=lambda place: badness(others[place]))
        room = max(0, most - len(baseline))
        return baseline + [others[place] for place in sorted(best[:room])]


def write_results(results: Results, path: Path) -> None:
    """Write results as JSON."""
    write_json(path, to_json(results))


def read_results(path: Path) -> Results:
    """Read results as ``write_results`` wrote them.

    Raises:
        ValueError: if the file holds something else, or is of another version.
    """
    return from_json(read_json(path), str(path))


def to_json(value: Any) -> Any:
    """A part of results as plain values: tuples as lists, None for what is not finite."""
    if isinstance(value, Results):
        return {"format": FORMAT} | _fields(value)
    if isinstance(value, Effect):
        return _names(value) | {"num_settings": value.num_settings} | _fields(value.comparison)
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def from_json(node: Any, where: str = "results") -> Results:
    """Results from what ``to_json`` made; errors call it ``where``."""
    found = node.get("format") if isinstance(node, dict) else None
    if found != FORMAT:
        if str(found).startswith("vidiff ablation "):
            raise ValueError(
                f"{where} has the format {found!r}, and this version reads {FORMAT!r}: write it "
                "anew by `vidiff ablate FILE.yaml --report`"
            )
        raise ValueError(f"{where} holds no results of `vidiff ablate`")
    try:
        return _read(Results, node)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} is damaged: {type(error).__name__} {error}") from error


def _fields(value: Any) -> dict[str, Any]:
    return {each.name: to_json(getattr(value, each.name)) for each in fields(value)}


def _names(effect: Effect) -> dict[str, Any]:
    """What an effect is of: lists for an interaction."""
    if len(effect.axes) == 1:
        names = {"axis": effect.axes, "value": effect.values, "against": effect.against}
        return {key: one for key, (one,) in names.items()}
    return to_json({"axes": effect.axes, "values": effect.values, "against": effect.against})


def _read(kind: Any, node: Any) -> Any:
    """Plain values as a type annotation has them."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Effect:
        return _read_effect(node)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        names = [each.name for each in fields(kind)]
        return kind(**{name: _read(hints[name], node[name]) for name in names})
    if origin is UnionType:
        return None if node is None else _read(inner[0], node)
    if origin is list:
        return [_read(inner[0], item) for item in node]
    if origin is dict:
        return {key: _read(inner[1], item) for key, item in node.items()}
    if origin is tuple:
        return tuple(_read(each, item) for each, item in zip(_each(inner, node), node, strict=True))
    return math.nan if kind is float and node is None else node


def _each(inner: tuple[Any, ...], items: list[Any]) -> list[Any]:
    """The types of a tuple's items."""
    return [inner[0]] * len(items) if inner[-1] is ... else list(inner)


def _read_effect(node: Mapping[str, Any]) -> Effect:
    single = "axis" in node
    keys = ("axis", "value", "against") if single else ("axes", "values", "against")
    axes, values, against = ((node[key],) if single else tuple(node[key]) for key in keys)
    return Effect(axes, values, against, node["num_settings"], _read(Comparison, node))
