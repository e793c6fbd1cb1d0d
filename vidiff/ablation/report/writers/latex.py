r"""``results.tex``: tables for a paper, by ``\usepackage{booktabs}``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vidiff.ablation.judge.statistics.intervals import Estimate
from vidiff.ablation.report import phrases
from vidiff.ablation.report.content import Content
from vidiff.ablation.report.writers.base import ReportWriter
from vidiff.registry import register

if TYPE_CHECKING:
    from vidiff.ablation.judge.schema import CellResult, Metric, Results


ESCAPED = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
    **{"−": "$-$", "×": r"$\times$", "–": "--", "\n": " ", "\r": " ", "\t": " "},
}


@register("latex")
class LaTeX(ReportWriter):
    """Tables of scores and of costs in LaTeX with booktabs; bold is best where a verdict holds."""

    def render(self, content: Content) -> dict[str, str | bytes]:
        results = content.results
        head = f"% {' '.join(results.question.split())}\n% \\usepackage{{booktabs}}\n"
        return {"results.tex": head + _scores(results) + "\n" + _costs(content)}


def escape(text: str) -> str:
    """Text in which no character is a command of LaTeX."""
    return "".join(ESCAPED.get(letter, letter) for letter in text)


def best(results: Results, name: str) -> str | None:
    """The cell with the best mean by a metric, if verdicts say so against the baseline.

    That is a cell that is better than the baseline; or the baseline, if all others are worse.
    """
    sign = 1 if results.metrics[name].higher_is_better else -1
    values = {c.name: sign * c.scores[name].value for c in results.cells if name in c.scores}
    values = {cell: value for cell, value in values.items() if math.isfinite(value)}
    if not values:
        return None
    found = max(values, key=lambda cell: values[cell])
    compared = {c.name: c.differences[name].verdict for c in results.cells if name in c.differences}
    if found == results.baseline:
        others = [compared.get(cell) for cell in values if cell != found]
        return found if others and {*others} == {"worse"} else None
    return found if compared.get(found) == "better" else None


def _scores(results: Results) -> str:
    bold = {name: best(results, name) for name in results.metrics}
    head = ["cell"]
    for name, metric in results.metrics.items():
        unit = r" (\%)" if metric.is_share else ""
        arrow = r"\uparrow" if metric.higher_is_better else r"\downarrow"
        head.append(f"{escape(name)}{unit} ${arrow}$")
    rows = [
        [
            _name(cell),
            *(_score(cell.scores.get(name), metric, bold[name] == cell.name)
              for name, metric in results.metrics.items()),
        ]
        for cell in results.cells
    ]  # fmt: skip
    seeds = f"{len(results.seeds)} seed{'s' if len(results.seeds) != 1 else ''}"
    caption = (
        f"{escape(results.question)} Means over {seeds} with 95\\,\\% intervals. "
        f"Bold: the best mean, where it is told apart from the baseline."
    )
    return _table(caption, f"tab:{_label(results.name)}", "l" + "r" * len(results.metrics),
                  head, rows)  # fmt: skip


def _costs(content: Content) -> str:
    results, columns = content.results, content.columns
    head = ["cell", *(escape(column.title) for column in columns)]
    rows = [
        [_name(cell), *(escape(column.shown(cell)) for column in columns)] for cell in results.cells
    ]
    caption = f"{escape(results.question)} {escape(phrases.equal(results.match))}"
    label = f"tab:{_label(results.name)}-costs"
    return _table(caption, label, "l" + "r" * len(columns), head, rows)


def _name(cell: CellResult) -> str:
    return escape(cell.name) + (" (baseline)" if cell.is_baseline else "")


def _score(score: Estimate | None, metric: Metric, is_best: bool) -> str:
    """Mean ± half of the interval; both sides where they differ as they are shown."""
    if score is None or not math.isfinite(score.value):
        return "--"
    value = _number(score.value, metric)
    value = f"\\mathbf{{{value}}}" if is_best else value
    if score.interval is None:
        return f"${value}$"
    low, high = score.interval
    below, above = (_number(gap, metric, 2) for gap in (score.value - low, high - score.value))
    if below == above:
        return f"${value} \\pm {above}$"
    return f"${value}\\,_{{-{below}}}^{{+{above}}}$"


def _number(value: float, metric: Metric, digits: int = 4) -> str:
    text = f"{100 * value:.1f}" if metric.is_share else f"{value:.{digits}g}"
    mantissa, _, power = text.partition("e")
    return f"{mantissa} \\cdot 10^{{{int(power)}}}" if power else mantissa


def _label(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name)


def _table(
    caption: str, label: str, columns: str, head: Sequence[str], rows: Iterable[Sequence[str]]
) -> str:
    lines = [
        r"\begin{table}[t]", r"\centering", f"\\caption{{{caption}}}", f"\\label{{{label}}}",
        f"\\begin{{tabular}}{{{columns}}}", r"\toprule", f"{' & '.join(head)} \\\\", r"\midrule",
        *(f"{' & '.join(row)} \\\\" for row in rows), r"\bottomrule", r"\end{tabular}",
        r"\end{table}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
