"""``report.md``: a table that a paper or a README could take, and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidiff.ablation.report import phrases
from vidiff.units import duration, large


def render_markdown(results: Mapping[str, Any]) -> str:
    """The report as Markdown.

    Args:
        results: of ``vidiff ablate``.
    """
    metrics = results["metrics"]
    first = next(iter(metrics))
    seeds = ", ".join(map(str, results["seeds"]))
    lines = [f"# {_plain(results['question'])}", ""]
    if missing := phrases.status(results):
        lines += [f"**Not complete: {missing}.**", ""]
    lines += _said(results, first)
    lines += [f"Judged by {first}; seeds {seeds}. {phrases.equal(results)}", ""]
    lines += [phrases.precision(results), ""]
    lines += [*_table(*_figures(results, first)), ""]
    lines += [
        "In brackets: 95 % intervals over seeds; differences are against the baseline, "
        f"{_plain(results['baseline'])}. A verdict needs p below 0.05 and an interval free of "
        "zero even when it is corrected, as p is, for the number of cells (Holm).",
        "",
    ]
    for metric in list(metrics)[1:]:
        lines += [f"## By {metric}", "", *_said(results, metric)]
        lines += [*_table(*_figures(results, metric)), ""]
    lines += _effects(results)
    lines += ["## Costs", "", *_table(*_costs(results)), ""]
    if results["status"]["failed"]:
        lines += ["## Failed", ""]
        lines += [
            f"- {_plain(run['cell'])}, seed {run['seed']} ({run['run']}): {_plain(run['error'])}"
            for run in results["status"]["failed"]
        ]
        lines.append("")
    lines += [*_provenance(results), ""]
    return "\n".join(lines)


def _said(results: Mapping[str, Any], metric: str) -> list[str]:
    """The answers: one sentence for all, and one for each cell."""
    headline = phrases.headline(results, metric)
    lines = [f"**{_plain(headline)}**", ""] if headline else []
    return [*lines, *(f"- {_plain(line)}" for line in phrases.answers(results, metric)), ""]


def _figures(results: Mapping[str, Any], name: str) -> tuple[list[str], list[list[str]]]:
    metric = results["metrics"][name]
    arrow = "↑" if metric["higher_is_better"] else "↓"
    rows = []
    for cell in results["cells"]:
        figure, judged = cell["figures"].get(name), cell["differences"].get(name)
        row = [f"{cell['name']}{' (baseline)' if cell['is_baseline'] else ''}", "–", "", "", ""]
        if figure:
            interval = phrases.between(figure["interval_95"], metric)
            row[1] = _bracketed(phrases.shown(figure["value"], metric), interval)
        if judged:
            interval = phrases.gap_between(judged["interval_95"], metric)
            row[2] = _bracketed(phrases.gap(judged["difference"], metric), interval)
            row[3:] = phrases.chance(judged["p_holm"]), judged["verdict"]
        rows.append(row)
    return ["cell", f"{name} {arrow}", "difference", "p", "verdict"], rows


def _bracketed(value: str, interval: str) -> str:
    return f"{value} [{interval}]" if interval else value


def _costs(results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    head = ["cell", "parameters", "FLOPs/step", "steps", "FLOPs", "step", "training", "memory"]
    matched = results["match"] is not None
    head += ["equality", "solved"] if matched else []
    rows = []
    for cell in results["cells"]:
        costs = cell["costs"]
        row = [
            cell["name"], large(costs["parameters"], 3), large(costs["flops_per_step"], 3),
            "–" if costs["steps"] is None else f"{costs['steps']:,}", large(costs["flops"], 3),
            "–" if costs["seconds_per_step"] is None else f"{costs['seconds_per_step']:.3f} s",
            "–" if costs["seconds"] is None else duration(costs["seconds"]),
            "–" if costs["memory_bytes"] is None else f"{costs['memory_bytes'] / 2**30:.2f} GiB",
        ]  # fmt: skip
        if matched:
            equality = cell["equality"]
            row.append("–" if equality is None else f"{equality:.3f}")
            row.append(", ".join(f"{key}={value}" for key, value in cell["solved"].items()))
        rows.append(row)
    return head, rows


def _effects(results: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for title, kind in (("Main effects", "main_effects"), ("Interactions", "interactions")):
        rows = []
        for name, effects in results[kind].items():
            metric = results["metrics"][name]
            for effect in effects:
                difference = phrases.gap(effect["difference"], metric)
                interval = phrases.gap_between(effect["interval_95"], metric)
                p = phrases.chance(effect["p_holm"])
                rows.append(
                    [name, phrases.effect_name(effect), difference, interval, p, effect["verdict"]]
                )
        if rows:
            head = ["metric", "effect", "difference", "95 % interval", "p", ""]
            lines += [f"## {title}", "", *_table(head, rows), ""]
    return lines


def _provenance(results: Mapping[str, Any]) -> list[str]:
    source = results["provenance"]
    protocol = source["evaluation_protocol"]
    lines = [
        "## Where it comes from",
        "",
        f"- file: {_code(results['file'])}, {results['created']}",
    ]
    if isinstance(protocol, Mapping):
        name, fingerprint = protocol.get("name"), protocol.get("fingerprint")
        lines.append(f"- evaluation protocol: {name}, fingerprint {_code(fingerprint)}")
    if source["prompts"]:
        sha = source["prompts"]["sha256"][:16]
        lines.append(f"- prompts: {source['prompts']['number']}, SHA-256 {_code(sha)}…")
    if isinstance(source["source"], Mapping) and source["source"].get("commit"):
        changed = " (changed)" if source["source"].get("changed") else ""
        lines.append(f"- source: {_code(source['source']['commit'])}{changed}")
    if isinstance(source["versions"], Mapping):
        listed = ", ".join(f"{name} {version}" for name, version in source["versions"].items())
        lines.append(f"- versions: {listed}")
    lines.append(f"- launcher: {source['launcher']}")
    return lines


def _code(text: Any) -> str:
    return f"`{text}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    return ["| " + " | ".join(_cell(text) for text in line) + " |" for line in lines]


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text as one line without HTML of its own."""
    return " ".join(str(text).split()).replace("<", "&lt;")
