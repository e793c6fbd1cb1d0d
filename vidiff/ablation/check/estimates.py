"""What an ablation will take: the cells with their costs, before they are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from vidiff.ablation.ask.cells import Run
from vidiff.ablation.ask.file import Ablation
from vidiff.ablation.ask.nodes import get
from vidiff.ablation.ask.precision import OnePrecision, precisions
from vidiff.ablation.run.folder import COSTS, RunFolder, read_or_empty
from vidiff.costs.machines import measured_speed
from vidiff.files import read_json
from vidiff.formatting import columns, duration, large
from vidiff.precision import device_of

UTILISATION = 0.2
"""Share of a matrix product's speed that training is assumed to reach: 16-58 % were measured."""


def table(ablation: Ablation, runs: Sequence[Run], folders: Mapping[str, RunFolder]) -> str:
    """The cells, a line each: parameters, operations, steps and time of a run, and all together."""
    costs = {run.id: read_json(folders[run.id].path / COSTS) for run in runs}
    rate, how = _rate(runs, folders, costs, ablation.launcher.num_at_once)
    matched = ablation.match
    head = ["cell", "parameters", "FLOPs/step", "steps", "FLOPs", "time/run", "runs", "done"]
    rows = [head + (["equal", "by"] if matched else [])]
    left = 0.0
    for name in dict.fromkeys(run.cell.name for run in runs):
        mine = [run for run in runs if run.cell.name == name]
        cost, cell = costs[mine[0].id], mine[0].cell
        flops = cost["flops_per_step"] * cost["steps"]
        done = [run for run in mine if folders[run.id].is_done()]
        took = [folders[run.id].status().seconds for run in done]
        seconds = median(took) if took else flops / rate + cost.get("seconds_before", 0.0)
        left += seconds * (len(mine) - len(done))
        row = [
            f"{name}{' (baseline)' if cell.is_baseline else ''}",
            large(cost["parameters"]), large(cost["flops_per_step"]), f"{cost['steps']:,}",
            large(flops), duration(seconds), str(len(mine)), str(len(done)),
        ]  # fmt: skip
        if matched:
            solved = ", ".join(f"{key}={value}" for key, value in cell.solved.items())
            row += [f"{cell.equality:.3f}", "" if cell.is_baseline else solved]
        rows.append(row)
    lines = columns(rows)
    num_at_once = ablation.launcher.num_at_once
    total = duration(left / min(num_at_once, max(len(runs), 1)))
    lines += [
        "",
        f"{ablation.question}",
        *_precision(ablation, runs),
        f"{len(runs)} runs; {total} left with {num_at_once} at once. Times are {how}.",
    ]
    if ablation.budget.hours is not None and left > 3600 * ablation.budget.hours:
        lines.append(
            f"That is {duration(left)} one by one, more than the budget of "
            f"{ablation.budget.hours:g} hours: not all will run."
        )
    return "\n".join(line.rstrip() for line in lines)


def _precision(ablation: Ablation, runs: Sequence[Run]) -> list[str]:
    """What all runs are trained in, where it was chosen for them."""
    kept = OnePrecision(Path(str(ablation.output)))
    chosen = kept.chosen
    if {*precisions([(run.name, run.config, {}) for run in runs])} != {chosen.get("precision")}:
        return []
    return [
        f"All are trained in {chosen['precision']}: {chosen['why']}. {kept.path} keeps this; set "
        "trainer.precision in the base config for another."
    ]


def _rate(
    runs: Sequence[Run],
    folders: Mapping[str, RunFolder],
    costs: Mapping[str, Mapping[str, Any]],
    num_at_once: int,
) -> tuple[float, str]:
    """Operations a second that training reaches here, and how that is known."""
    rates = []
    for run in runs:
        record = read_or_empty(folders[run.id].train / "run.json")
        if seconds := record.get("seconds_per_step"):
            rates.append(costs[run.id]["flops_per_step"] / seconds)
    if rates:
        return median(rates), "those of steps that were trained, without sampling and measuring"
    precision = str(get(runs[0].config, "trainer.precision", "32-true"))
    speed = measured_speed(device_of("auto"), precision)
    return UTILISATION * speed / num_at_once, (
        f"a guess: a matrix product was measured on this machine, and {UTILISATION:.0%} of its "
        "speed assumed; better once a run has trained"
    )
