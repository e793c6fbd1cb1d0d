"""``report.md``: a table that a paper or a README could take, and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vidiff.ablation.judge.schema import CellResult, Provenance, Results
from vidiff.ablation.judge.statistics.contrasts import Effect
from vidiff.ablation.report import phrases
from vidiff.formatting import duration, large


def render_markdown(results: Results) -> str:
    """The report as Markdown."""
    first, *others = results.metrics
    seeds = ", ".join(map(str, results.seeds))
    lines = [f"# {_plain(results.question)}", ""]
    if missing := phrases.status(results):
        lines += [f"**Not complete: {missing}.**", ""]
    lines += _answers(results, first)
    lines += [f"Judged by {first}; seeds {seeds}. {phrases.equal(results.match)}", ""]
    lines += [phrases.precision(results.precision), ""]
    lines += _scores(results, first)
    lines += [
        "In brackets: 95 % intervals over seeds; differences are against the baseline, "
        f"{_plain(results.baseline)}. A verdict needs p below 0.05 and an interval free of "
        "zero even when it is corrected, as p is, for the number of cells (Holm).",
        "",
    ]
    for metric in others:
        lines += [f"## By {metric}", "", *_answers(results, metric), *_scores(results, metric)]
    lines += _effects("Main effects", results, results.main_effects)
    lines += _effects("Interactions", results, results.interactions)
    lines += ["## Costs", "", *_costs(results)]
    if results.status.failed:
        lines += ["## Failed", ""]
        lines += [
            f"- {_plain(run.cell)}, seed {run.seed} ({run.run}): {_plain(run.error)}"
            for run in results.status.failed
        ]
        lines.append("")
    lines += ["## Where it comes from", "", f"- file: `{results.file}`, {results.created}"]
    lines += [*_provenance(results.provenance), ""]
    return "\n".join(lines)


def _answers(results: Results, metric: str) -> list[str]:
    """One sentence for all cells, and one for each."""
    headline = phrases.headline(results, metric)
    lines = [f"**{_plain(headline)}**", ""] if headline else []
    return [*lines, *(f"- {_plain(line)}" for line in phrases.answers(results, metric)), ""]


def _scores(results: Results, name: str) -> list[str]:
    metric = results.metrics[name]
    rows = []
    for cell in results.cells:
        score, judged = cell.scores.get(name), cell.differences.get(name)
        row = [f"{cell.name}{' (baseline)' if cell.is_baseline else ''}", "–", "", "", ""]
        if score:
            interval = phrases.between(score.interval, metric)
            row[1] = _bracketed(phrases.shown(score.value, metric), interval)
        if judged:
            interval = phrases.gap_between(judged.interval, metric)
            row[2] = _bracketed(phrases.gap(judged.difference, metric), interval)
            row[3:] = phrases.chance(judged.p_holm), judged.verdict
        rows.append(row)
    arrow = "↑" if metric.higher_is_better else "↓"
    return _table(["cell", f"{name} {arrow}", "difference", "p", "verdict"], rows)


def _bracketed(value: str, interval: str) -> str:
    return f"{value} [{interval}]" if interval else value


def _costs(results: Results) -> list[str]:
    head = ["cell", "parameters", "FLOPs/step", "steps", "FLOPs", "step", "training", "memory"]
    matched = results.match is not None
    head += ["equality", "solved"] if matched else []
    return _table(head, [_costs_of(cell)[: len(head)] for cell in results.cells])


def _costs_of(cell: CellResult) -> list[str]:
    costs = cell.costs
    return [
        cell.name, large(costs.parameters, 3), large(costs.flops_per_step, 3),
        "–" if costs.steps is None else f"{costs.steps:,}", large(costs.flops, 3),
        "–" if costs.seconds_per_step is None else f"{costs.seconds_per_step:.3f} s",
        "–" if costs.seconds is None else duration(costs.seconds),
        "–" if costs.memory_bytes is None else f"{costs.memory_bytes / 2**30:.2f} GiB",
        "–" if cell.equality is None else f"{cell.equality:.3f}",
        ", ".join(f"{key}={value}" for key, value in cell.solved.items()),
    ]  # fmt: skip


def _effects(title: str, results: Results, by_metric: Mapping[str, Sequence[Effect]]) -> list[str]:
    rows = []
    for name, effects in by_metric.items():
        metric = results.metrics[name]
        for effect in effects:
            judged = effect.comparison
            difference = phrases.gap(judged.difference, metric)
            interval = phrases.gap_between(judged.interval, metric)
            p = phrases.chance(judged.p_holm)
            what = phrases.effect_name(effect)
            rows.append([name, what, difference, interval, p, judged.verdict])
    head = ["metric", "effect", "difference", "95 % interval", "p", ""]
    return [f"## {title}", "", *_table(head, rows)] if rows else []


def _provenance(source: Provenance) -> Iterator[str]:
    if isinstance(protocol := source.evaluation_protocol, Mapping):
        name, fingerprint = protocol.get("name"), protocol.get("fingerprint")
        yield f"- evaluation protocol: {name}, fingerprint `{fingerprint}`"
    if source.prompts:
        yield f"- prompts: {source.prompts.number}, SHA-256 `{source.prompts.sha256[:16]}`…"
    if isinstance(source.source, Mapping) and (commit := source.source.get("commit")):
        changed = " (changed)" if source.source.get("changed") else ""
        yield f"- source: `{commit}`{changed}"
    if isinstance(source.versions, Mapping):
        listed = ", ".join(f"{name} {version}" for name, version in source.versions.items())
        yield f"- versions: {listed}"
    yield f"- launcher: {source.launcher}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    escaped = ([_plain(text).replace("|", "\\|") for text in line] for line in lines)
    return [*(f"| {' | '.join(line)} |" for line in escaped), ""]


def _plain(text: Any) -> str:
    """Text as one line without HTML of its own."""
    return " ".join(str(text).split()).replace("<", "&lt;")
