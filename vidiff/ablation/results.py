"""What all runs gave, as plain values: what the report shows, and programs may read.

``results.json`` holds it; its format is "vidiff ablation 1".
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from vidiff.ablation import statistics
from vidiff.ablation.cells import Cell, Run
from vidiff.ablation.file import Ablation, name_of
from vidiff.ablation.folders import RunFolder, prompts_of
from vidiff.ablation.found import Found, find
from vidiff.ablation.precision import FILE, precisions
from vidiff.captions import read_prompts
from vidiff.evaluation_report import MetricInfo, Report, ScoreInfo
from vidiff.files import read_json

FORMAT = "vidiff ablation 1"


def collect(
    ablation: Ablation,
    path: Path,
    runs: Sequence[Run],
    folders: Mapping[str, RunFolder],
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Read what all runs gave, and judge the cells by it.

    Args:
        ablation: what was asked.
        path: of its file.
        runs: all of them.
        folders: theirs, by id.
        data: what the clips were, for the record.

    Raises:
        ValueError: if runs were measured in different ways.
    """
    output = Path(str(ablation.output))
    found = [find(run, folders[run.id], list(ablation.metrics), output) for run in runs]
    refuse_mixed(found)
    cells = list({run.cell.name: run.cell for run in runs}.values())
    baseline = next(cell for cell in cells if cell.is_baseline)
    by_cell = {cell.name: [f for f in found if f.run.cell.name == cell.name] for cell in cells}
    figures, differences, effects, interactions = _judged(ablation, cells, by_cell)
    done = [one for one in found if one.state == "done"]
    return {
        "format": FORMAT,
        "name": name_of(path),
        "question": ablation.question,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "file": str(path),
        "status": {
            "runs": len(found),
            "done": len(done),
            "failed": [
                {"run": f.run.id, "cell": f.run.cell.name, "seed": f.run.seed, "error": f.error}
                for f in found
                if f.state == "failed"
            ],
            "missing": sum(f.state in ("missing", "running") for f in found),
        },
        "axes": {axis: list(values) for axis, values in ablation.axes.items()},
        "baseline": baseline.name,
        "seeds": list(ablation.seeds),
        "match": _match(ablation),
        "precision": {
            "runs": precisions([(f.run.name, f.run.config, f.record) for f in found]),
            "chosen": read_json(output / FILE) if (output / FILE).exists() else None,
        },
        "budget": vars(ablation.budget),
        "metrics": {
            name: _metric(name, direction, done) for name, direction in ablation.metrics.items()
        },
        "cells": [
            _cell(cell, by_cell[cell.name], by_cell[baseline.name], ablation)
            | {"figures": figures[cell.name], "differences": differences.get(cell.name, {})}
            for cell in cells
        ],
        "not_found": _not_found(found),
        "main_effects": effects,
        "interactions": interactions,
        "provenance": _provenance(ablation, found, data or {}),
    }


def refuse_mixed(found: Sequence[Found]) -> None:
    """Figures that follow from different protocols, prompts or networks say nothing together.

    Raises:
        ValueError: which runs differ in what.
    """
    first: dict[str, tuple[str, str]] = {}
    for one in found:
        group = one.evaluation.groups["run"] if one.evaluation else None
        for metric, fingerprint in (group.fingerprints if group else {}).items():
            run, known = first.setdefault(metric, (one.run.id, fingerprint))
            if known != fingerprint:
                raise ValueError(
                    f"{metric} was measured in different ways in the runs {run} and {one.run.id}: "
                    "remove the older one's evaluation folder and call again"
                )


def _judged(
    ablation: Ablation, cells: Sequence[Cell], by_cell: Mapping[str, Sequence[Found]]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Figures and differences by cell and metric; main effects and interactions by metric."""
    figures: dict[str, Any] = {cell.name: {} for cell in cells}
    differences: dict[str, Any] = {}
    effects: dict[str, Any] = {}
    interactions: dict[str, Any] = {}
    baseline = next(cell for cell in cells if cell.is_baseline)
    for metric, direction in ablation.metrics.items():
        seen = {cell.name: _observations(by_cell[cell.name], metric) for cell in cells}
        limits = _limits(metric, [one for some in by_cell.values() for one in some])
        for name, observations in seen.items():
            if observations:
                figure = statistics.mean(observations, limits=limits).record
                low, high = figure["interval_95"] or (0.0, 1.0)
                if low == high:  # seeds that agree wholly say nothing of how sure they are
                    figure |= {"interval_95": None, "method": ""}
                figures[name][metric] = figure
        if not seen[baseline.name]:
            continue
        better = direction == "higher"
        compared = {
            name: statistics.compare(
                observations, seen[baseline.name], higher_is_better=better
            )
            for name, observations in seen.items()
            if name != baseline.name and {*observations} & {*seen[baseline.name]}
        }  # fmt: skip
        judged = statistics.judge(list(compared.values()), correct_seeds=True)
        for name, comparison in zip(compared, judged, strict=True):
            record = _within(comparison.record, limits, 1)
            differences.setdefault(name, {})[metric] = record
        if len(ablation.axes) > 1:
            crossed = {tuple(cell.choices.items()): seen[cell.name] for cell in cells}
            axes = {axis: list(values) for axis, values in ablation.axes.items()}
            asked: dict[str, Any] = {"higher_is_better": better, "correct_seeds": True}
            choices = dict(baseline.choices)
            main = statistics.main_effects(crossed, axes, choices, **asked)
            pairs = statistics.interactions(crossed, axes, choices, **asked)
            effects[metric] = [_within(effect.record, limits, 1) for effect in main]
            interactions[metric] = [_within(effect.record, limits, 2) for effect in pairs]
    return figures, differences, effects, interactions


def _within(
    record: dict[str, Any], limits: tuple[float, float] | None, times: int
) -> dict[str, Any]:
    """A difference's interval, cut off where no difference of such values can be."""
    if limits is None or record["interval_95"] is None:
        return record
    most = times * (limits[1] - limits[0])
    low, high = record["interval_95"]
    return record | {"interval_95": [max(low, -most), min(high, most)]}


def _observations(found: Sequence[Found], metric: str) -> dict[int, np.ndarray]:
    """By seed, what was seen of a metric in a cell."""
    return {f.run.seed: f.values[metric] for f in found if metric in f.values}


def _metric(name: str, direction: str, done: Sequence[Found]) -> dict[str, Any]:
    metric, score = _described(name, done)
    is_main = metric is not None and metric.main.name == name
    count = max((len(one.values[name]) for one in done if name in one.values), default=0)
    return {
        "higher_is_better": direction == "higher",
        "summary": metric.summary if metric and is_main else "",
        "unit": score.unit or None if score else None,
        "per_prompt": count > 1,
        "num_prompts": count if count > 1 else None,
    }


def _described(name: str, found: Sequence[Found]) -> tuple[MetricInfo | None, ScoreInfo | None]:
    """What evaluations say of a score and its metric; None of what training logs."""
    for one in found:
        for _, metric, score in one.evaluation.infos() if one.evaluation else ():
            if score.name == name:
                return metric, score
    return None, None


def _limits(name: str, found: Sequence[Found]) -> tuple[float, float] | None:
    """The least and the largest possible value of a share; None of other scores."""
    _, score = _described(name, found)
    return (0.0, 1.0) if score and score.unit == "share" else None


def _not_found(found: Sequence[Found]) -> list[dict[str, Any]]:
    """Metrics that runs lack though they are done: of each reason, which runs."""
    runs: dict[tuple[str, str], list[str]] = {}
    for one in found:
        for metric, reason in one.missing.items():
            runs.setdefault((metric, reason), []).append(one.run.id)
    return [
        {"metric": metric, "reason": reason, "runs": ids} for (metric, reason), ids in runs.items()
    ]


def _cell(
    cell: Cell, found: Sequence[Found], baseline: Sequence[Found], ablation: Ablation
) -> dict[str, Any]:
    costs = _costs(found)
    return {
        "name": cell.name,
        "choices": dict(cell.choices),
        "is_baseline": cell.is_baseline,
        "solved": dict(cell.solved),
        "equality": _equality(cell, costs, _costs(baseline), ablation),
        "costs": costs,
        "runs": [_run(one) for one in found],
    }


def _costs(found: Sequence[Found]) -> dict[str, Any]:
    """Counts before training, and means over the runs that trained."""
    counted = next((one.costs for one in found if one.costs), {})
    records = [one.record for one in found if one.state == "done" and one.record]
    steps = [record["step"] for record in records]
    rates = [r["seconds_per_step"] for r in records if r.get("seconds_per_step")]
    peaks = [record.get("peak_memory_bytes") or {} for record in records]
    of = "gpu" if any(peak.get("gpu") for peak in peaks) else "process"
    memory = [peak[of] for peak in peaks if peak.get(of)]
    num_steps = round(fmean(steps)) if steps else counted.get("steps")
    per_step = counted.get("flops_per_step")
    return {
        "parameters": counted.get("parameters"),
        "flops_per_step": per_step,
        "steps": num_steps,
        "flops": per_step * num_steps if per_step and num_steps else None,
        "seconds_per_step": fmean(rates) if rates else None,
        "seconds": fmean(r["training_seconds"] for r in records) if records else None,
        "seconds_before": counted.get("seconds_before", 0.0),
        "memory_bytes": fmean(memory) if memory else None,
        "memory_of": of,
    }


def _equality(
    cell: Cell, costs: Mapping[str, Any], baseline: Mapping[str, Any], ablation: Ablation
) -> float | None:
    """The quantity that was to be made equal, over the baseline's: of time, what it came to."""
    match = ablation.match
    if match is None:
        return None
    if match.equal != "time":
        return cell.equality
    if not (costs["seconds_per_step"] and baseline["seconds_per_step"]):
        return cell.equality
    ours, theirs = (
        each["seconds_before"] + each["seconds_per_step"] * each["steps"]
        for each in (costs, baseline)
    )
    return float(ours / theirs)


def _run(found: Found) -> dict[str, Any]:
    return {
        "id": found.run.id,
        "seed": found.run.seed,
        "state": found.state,
        "error": found.error,
        "attempts": found.attempts,
        "figures": found.figures,
        "step": found.record.get("step"),
        "seconds_per_step": found.record.get("seconds_per_step"),
        "seconds": found.record.get("training_seconds"),
        "curves": {tag: [list(point) for point in c] for tag, c in found.curves.items()},
        "videos": found.videos,
    }


def _match(ablation: Ablation) -> dict[str, Any] | None:
    match = ablation.match
    return None if match is None else vars(match)


def _provenance(
    ablation: Ablation, found: Sequence[Found], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Where the figures come from; of what differs between runs, all there is."""
    records = [one.record for one in found if one.record]
    evaluations = [one.evaluation for one in found if one.evaluation]
    prompts = None
    if ablation.samples is not None:
        given = str(ablation.samples["prompts"])
        text, number = prompts_of(given), len(read_prompts(given))
        prompts = {"number": number, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return {
        "runs": _distinct(record.get("config_sha256") for record in records),
        "source": _only(_distinct(record.get("source") for record in records)),
        "versions": _only(_distinct(record.get("versions") for record in records)),
        "hardware": _only(_distinct(record.get("devices") for record in records)),
        "data": dict(data),
        "validation": _only(_distinct((r.get("data") or {}).get("validation") for r in records)),
        "evaluation_protocol": _only(_distinct(_protocol(e) for e in evaluations)),
        "prompts": prompts,
        "sampling": ablation.samples,
        "evaluation": ablation.evaluation,
        "launcher": type(ablation.launcher).__name__.lower(),
    }


def _protocol(report: Report) -> dict[str, Any]:
    protocol = report.protocol
    return {"name": protocol.name, "fingerprint": protocol.fingerprint, **protocol.settings}


def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found and value is not None:
            found.append(value)
    return found


def _only(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
