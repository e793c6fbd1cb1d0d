"""From the folders of all runs to the results of the ablation."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import numpy as np

from vidiff.ablation.ask.cells import Cell, Run
from vidiff.ablation.ask.file import Ablation, name_of
from vidiff.ablation.ask.precision import OnePrecision, precisions
from vidiff.ablation.judge.run_results import RunResults, read_run
from vidiff.ablation.judge.schema import (
    CellResult,
    Chosen,
    Costs,
    FailedRun,
    Metric,
    NotFound,
    Precision,
    Prompts,
    Provenance,
    Results,
    Status,
)
from vidiff.ablation.judge.statistics.comparison import Comparison, Units
from vidiff.ablation.judge.statistics.contrasts import Effect, compare, interactions, main_effects
from vidiff.ablation.judge.statistics.intervals import Estimate, Observations, mean
from vidiff.ablation.judge.statistics.verdicts import judge, min_seeds
from vidiff.ablation.run.folder import RunFolder, prompts_of
from vidiff.captions import read_prompts

T = TypeVar("T")


def collect(
    ablation: Ablation,
    path: Path,
    runs: Sequence[Run],
    folders: Mapping[str, RunFolder],
    data: Mapping[str, Any] | None = None,
) -> Results:
    """Read what all runs gave, and judge the cells by it; ``data`` is for the record."""
    output = Path(str(ablation.output))
    found = [read_run(run, folders[run.id], list(ablation.metrics), output) for run in runs]
    refuse_mixed(found)
    metrics = {name: _metric(name, ablation, found) for name in ablation.metrics}
    cells = list({run.cell.name: run.cell for run in runs}.values())
    of_cell: dict[str, list[RunResults]] = {cell.name: [] for cell in cells}
    for one in found:
        of_cell[one.run.cell.name].append(one)
    baseline = next(cell for cell in cells if cell.is_baseline)
    judged = {name: _judge(ablation, name, metrics[name], cells, of_cell) for name in metrics}
    compared = {metric: each for metric, each in judged.items() if each.is_compared}
    costs = {cell.name: _costs(of_cell[cell.name]) for cell in cells}
    is_crossed = len(ablation.axes) > 1
    return Results(
        name=name_of(path),
        question=ablation.question,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        file=str(path),
        status=_status(found),
        axes={axis: list(values) for axis, values in ablation.axes.items()},
        baseline=baseline.name,
        seeds=list(ablation.seeds),
        match=ablation.match,
        precision=Precision(
            runs=precisions([(one.run.name, one.run.config, one.record) for one in found]),
            chosen=Chosen(**chosen) if (chosen := OnePrecision(output).chosen) else None,
        ),
        budget=ablation.budget,
        metrics=metrics,
        cells=[
            CellResult(
                name=cell.name,
                choices=dict(cell.choices),
                is_baseline=cell.is_baseline,
                solved=dict(cell.solved),
                equality=_equality(cell, costs[cell.name], costs[baseline.name], ablation),
                costs=costs[cell.name],
                runs=[one.result for one in of_cell[cell.name]],
                scores=_of_cell(cell, {m: each.scores for m, each in judged.items()}),
                differences=_of_cell(cell, {m: each.differences for m, each in judged.items()}),
            )
            for cell in cells
        ],
        not_found=_not_found(found),
        main_effects={m: each.main_effects for m, each in compared.items() if is_crossed},
        interactions={m: each.interactions for m, each in compared.items() if is_crossed},
        provenance=_provenance(ablation, found, data or {}),
    )


def refuse_mixed(found: Sequence[RunResults]) -> None:
    """Scores of different protocols, prompts or networks do not compare: a ``ValueError``."""
    first: dict[str, tuple[str, str]] = {}
    for one in found:
        prints = one.evaluation.group.fingerprints if one.evaluation else {}
        for metric, fingerprint in prints.items():
            run, known = first.setdefault(metric, (one.run.id, fingerprint))
            if known != fingerprint:
                raise ValueError(
                    f"{metric} was measured in different ways in the runs {run} and {one.run.id}: "
                    "remove the older one's evaluation folder and call again"
                )


@dataclass
class _Judged:
    """What one metric says: by cell, and of the axes; nothing is compared without a baseline."""

    scores: dict[str, Estimate]
    is_compared: bool = False
    differences: dict[str, Comparison] = field(default_factory=dict)
    main_effects: list[Effect] = field(default_factory=list)
    interactions: list[Effect] = field(default_factory=list)


def _judge(
    ablation: Ablation,
    name: str,
    metric: Metric,
    cells: Sequence[Cell],
    of_cell: Mapping[str, Sequence[RunResults]],
) -> _Judged:
    seen = _seen(name, metric.units, of_cell)
    limits = (0.0, 1.0) if metric.is_share else None
    most = 1.0 if metric.is_share else math.inf  # a difference, between two such values
    judged = _Judged(
        {cell: _estimate(each, limits, metric.units) for cell, each in seen.items() if each}
    )
    baseline = next(cell for cell in cells if cell.is_baseline)
    theirs = seen[baseline.name]
    if not theirs:
        return judged
    judged.is_compared = True
    asked: dict[str, Any] = {"higher_is_better": metric.higher_is_better, "units": metric.units}
    compared = {
        cell: compare(values, theirs, **asked)
        for cell, values in seen.items()
        if cell != baseline.name and {*values} & {*theirs}
    }
    verdicts = judge(list(compared.values()), correct_seeds=True)
    judged.differences = {
        cell: _within(one, most) for cell, one in zip(compared, verdicts, strict=True)
    }
    crossed = {tuple(cell.choices.items()): seen[cell.name] for cell in cells}
    axes = {axis: list(values) for axis, values in ablation.axes.items()}
    main = main_effects(crossed, axes, baseline.choices, correct_seeds=True, **asked)
    pairs = interactions(crossed, axes, baseline.choices, correct_seeds=True, **asked)
    judged.main_effects = [replace(e, comparison=_within(e.comparison, most)) for e in main]
    judged.interactions = [replace(e, comparison=_within(e.comparison, 2 * most)) for e in pairs]
    return judged


def _seen(
    name: str, units: Units, of_cell: Mapping[str, Sequence[RunResults]]
) -> dict[str, dict[int, np.ndarray]]:
    """What was seen of a metric, by cell and seed: an entry is of one prompt or clip in all."""
    having = {cell: [one for one in some if name in one.values] for cell, some in of_cell.items()}
    if units != "clips":
        return {c: {one.run.seed: one.values[name] for one in some} for c, some in having.items()}
    ids = sorted({clip for some in having.values() for one in some for clip in one.clips[name]})
    return {
        cell: {
            one.run.seed: np.array([one.clips[name].get(clip, math.nan) for clip in ids])
            for one in some
        }
        for cell, some in having.items()
    }


def _estimate(values: Observations, limits: tuple[float, float] | None, units: Units) -> Estimate:
    estimate = mean(values, limits=limits, units=units)
    low, high = estimate.interval or (0.0, 1.0)
    if low == high:  # seeds that agree wholly say nothing of how sure they are
        estimate = replace(estimate, interval=None, method="")
    return estimate


def _within(one: Comparison, most: float) -> Comparison:
    """A difference whose interval is cut off where no difference of such values can be."""
    if one.interval is None:
        return one
    low, high = one.interval
    return replace(one, interval=(max(low, -most), min(high, most)))


def _of_cell(cell: Cell, by_metric: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    return {metric: found[cell.name] for metric, found in by_metric.items() if cell.name in found}


def _status(found: Sequence[RunResults]) -> Status:
    return Status(
        runs=len(found),
        done=sum(one.result.state == "done" for one in found),
        failed=[
            FailedRun(one.run.id, one.run.cell.name, one.run.seed, one.result.error)
            for one in found
            if one.result.state == "failed"
        ],
        missing=sum(one.result.state in ("missing", "running") for one in found),
    )


def _metric(name: str, ablation: Ablation, found: Sequence[RunResults]) -> Metric:
    first = next((one for one in found if one.result.state == "done"), None)
    infos = (one.evaluation.info(name) for one in found if one.evaluation)
    info = next((info for info in infos if info), None)
    units, count = _units(name, [one for one in found if name in one.values])
    num_cells = len({one.run.cell.name for one in found})
    return Metric(
        higher_is_better=ablation.metrics[name] == "higher",
        summary=first.evaluation.summary(name) if first and first.evaluation else "",
        unit=info.unit or None if info else None,
        units=units,
        num_units=count,
        min_seeds=min_seeds(num_cells - 1, count),
        limits=info.limits if info else (None, None),
    )


def _units(name: str, having: Sequence[RunResults]) -> tuple[Units, int | None]:
    """What the values of a metric are of, and how many; only seeds where a run lacks its clips."""
    if having and all(name in one.clips for one in having):
        count = len({clip for one in having for clip in one.clips[name]})
        return ("clips", count) if count > 1 else ("seeds", None)
    count = max((len(one.values[name]) for one in having), default=0)
    return ("prompts", count) if count > 1 else ("seeds", None)


def _not_found(found: Sequence[RunResults]) -> list[NotFound]:
    """Metrics that runs lack though they are done: of each reason, which runs."""
    runs: dict[tuple[str, str], list[str]] = {}
    for one in found:
        for metric, reason in one.missing.items():
            runs.setdefault((metric, reason), []).append(one.run.id)
    return [NotFound(metric, reason, ids) for (metric, reason), ids in runs.items()]


def _costs(found: Sequence[RunResults]) -> Costs:
    """Counts before training, and means over the runs that trained."""
    counted = next((one.costs for one in found if one.costs), {})
    records = [one.record for one in found if one.result.state == "done" and one.record]
    rates = [r["seconds_per_step"] for r in records if r.get("seconds_per_step")]
    peaks = [record.get("peak_memory_bytes") or {} for record in records]
    of = "gpu" if any(peak.get("gpu") for peak in peaks) else "process"
    memory = [peak[of] for peak in peaks if peak.get(of)]
    steps = round(fmean(r["step"] for r in records)) if records else counted.get("steps")
    per_step = counted.get("flops_per_step")
    return Costs(
        parameters=counted.get("parameters"),
        flops_per_step=per_step,
        steps=steps,
        flops=per_step * steps if per_step and steps else None,
        seconds_per_step=fmean(rates) if rates else None,
        seconds=fmean(r["training_seconds"] for r in records) if records else None,
        seconds_before=counted.get("seconds_before", 0.0),
        memory_bytes=fmean(memory) if memory else None,
        memory_of=of,
    )


def _equality(cell: Cell, costs: Costs, baseline: Costs, ablation: Ablation) -> float | None:
    """The quantity that was to be made equal, over the baseline's: of time, what it came to."""
    match = ablation.match
    if match is None:
        return None
    times = [_seconds(each) for each in (costs, baseline)]
    if match.equal != "time" or times[0] is None or times[1] is None:
        return cell.equality
    return times[0] / times[1]


def _seconds(costs: Costs) -> float | None:
    """Of all steps, and of what was trained before; None where no step was timed."""
    if not costs.seconds_per_step or costs.steps is None:
        return None
    return costs.seconds_before + costs.seconds_per_step * costs.steps


def _provenance(
    ablation: Ablation, found: Sequence[RunResults], data: Mapping[str, Any]
) -> Provenance:
    records = [one.record for one in found if one.record]
    prompts = None
    if ablation.samples is not None:
        given = str(ablation.samples["prompts"])
        text, number = prompts_of(given), len(read_prompts(given))
        prompts = Prompts(number, hashlib.sha256(text.encode()).hexdigest())
    return Provenance(
        runs=_distinct(record.get("config_sha256") for record in records),
        source=_only(record.get("source") for record in records),
        versions=_only(record.get("versions") for record in records),
        hardware=_only(record.get("devices") for record in records),
        data=dict(data),
        validation=_only((r.get("data") or {}).get("validation") for r in records),
        evaluation_protocol=_only(one.evaluation.protocol for one in found if one.evaluation),
        prompts=prompts,
        sampling=ablation.samples,
        evaluation=ablation.evaluation,
        launcher=type(ablation.launcher).__name__.lower(),
    )


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found and value is not None:
            found.append(value)
    return found


def _only(values: Iterable[Any]) -> Any:
    """The value that all have in common, or a list of all."""
    found = _distinct(values)
    return found[0] if len(found) == 1 else found
