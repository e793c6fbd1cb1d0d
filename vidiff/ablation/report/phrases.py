"""Numbers and differences in words: what all reports say in the same way."""

from __future__ import annotations

import math

from vidiff.ablation.ask.file import Match
from vidiff.ablation.judge.schema import Metric, Precision, Results
from vidiff.ablation.judge.statistics.comparison import Comparison
from vidiff.ablation.judge.statistics.contrasts import Effect
from vidiff.formatting import listed

Interval = tuple[float, float] | None


def shown(value: float, metric: Metric) -> str:
    """A value of a metric: a share in percent, others with four digits that count."""
    if math.isnan(value):
        return "–"
    return _bare(value, metric) + (" %" if metric.is_share else "")


def between(interval: Interval, metric: Metric) -> str:
    """An interval of a metric's values; empty if there is none."""
    if interval is None:
        return ""
    low, high = (_bare(end, metric) for end in interval)
    return f"{low} to {high}{' %' if metric.is_share else ''}"


def gap(difference: float, metric: Metric, sign: bool = True) -> str:
    """A difference: of shares in points."""
    if math.isnan(difference):
        return "–"
    text = _bare(difference, metric, sign=True)
    return (text if sign else text.lstrip("+−")) + (" points" if metric.is_share else "")


def gap_between(interval: Interval, metric: Metric) -> str:
    """An interval of differences, without their unit; empty if there is none."""
    if interval is None:
        return ""
    return " to ".join(_bare(end, metric, sign=True) for end in interval)


def chance(p: float | None) -> str:
    """A p-value."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def answers(results: Results, name: str) -> list[str]:
    """What a metric says of each cell against the baseline, in sentences.

    What is sure comes first, and the largest difference before smaller ones.
    """
    metric, baseline = results.metrics[name], results.baseline
    found: dict[str, list[str]] = {"better": [], "worse": [], "cannot tell": []}
    compared = {cell.name: cell.differences.get(name) for cell in results.cells}
    known = [(cell, judged) for cell, judged in compared.items() if judged]
    for cell, judged in sorted(known, key=lambda pair: -abs(pair[1].difference)):
        if judged.verdict == "cannot tell":
            interval = gap_between(judged.interval, metric)
            size = ", ".join(filter(None, [gap(judged.difference, metric), interval]))
            line = f"The data cannot tell {cell} from {baseline} ({size}): {needed(judged)}."
        else:
            size = gap(judged.difference, metric, sign=False) + _sizes(judged, metric)
            line = f"{cell} is {judged.verdict} than {baseline} by {size}."
        found[judged.verdict].append(line)
    lines = [line for some in found.values() for line in some]
    return lines or [f"Nothing can be compared with {baseline} yet."]


def headline(results: Results, name: str) -> str:
    """All answers of a metric in one sentence; empty for a single one, which says it itself."""
    compared = [cell.differences.get(name) for cell in results.cells]
    verdicts = [judged.verdict for judged in compared if judged is not None]
    if len(verdicts) < 2:
        return ""
    baseline, others = results.baseline, f"the {len(verdicts)} others"
    better, worse = verdicts.count("better"), verdicts.count("worse")
    if not better and not worse:
        which = "either" if len(verdicts) == 2 else "any"
        return f"The data cannot tell {which} of {others} from {baseline}."
    if len(verdicts) in (better, worse):
        all_of_them = "Both others" if len(verdicts) == 2 else f"All of {others}"
        return f"{all_of_them} are {verdicts[0]} than {baseline}."
    counts = {"better": better, "worse": worse}
    known = [
        f"{number} {'is' if number == 1 else 'are'} {verdict}"
        for verdict, number in counts.items()
        if number
    ]
    known[0] += f" than {baseline}"
    unsure = len(verdicts) - better - worse
    rest = f"; the data cannot tell of {unsure}." if unsure else "."
    return f"Of {others}, {' and '.join(known)}{rest}"


def needed(judged: Comparison) -> str:
    """What a verdict would need."""
    if seeds := judged.further_seeds:
        return f"about {seeds} further seed{'s' if seeds != 1 else ''} would be needed"
    reason = judged.reason.rstrip(".")
    return reason[:1].lower() + reason[1:]


def effect_name(effect: Effect) -> str:
    """A main effect or an interaction."""
    pairs = zip(effect.axes, effect.values, effect.against, strict=True)
    return " with ".join(f"{axis}: {value} against {base}" for axis, value, base in pairs)


def status(results: Results) -> str:
    """What is missing, in words; empty if nothing is."""
    state = results.status
    parts = []
    if state.failed:
        parts.append(f"{len(state.failed)} of {state.runs} runs failed")
    if state.missing:
        parts.append(f"{state.missing} of {state.runs} runs are not done yet")
    for metric in dict.fromkeys(entry.metric for entry in results.not_found):
        entries = [entry for entry in results.not_found if entry.metric == metric]
        count = sum(len(entry.runs) for entry in entries)
        parts.append(f"{count} of {state.runs} runs have no {metric} ({entries[0].reason})")
    return " and ".join(parts)


def equal(match: Match | None) -> str:
    """In what the cells are equal, in words."""
    if match is None:
        return "Nothing was made equal but the number of steps, unless a cell sets it."
    what = {"parameters": "trained parameters", "flops": "FLOPs", "time": "training time"}
    by = match.by.rpartition(".")[2].replace("max_steps", "number of steps")
    equal = what[match.equal]
    return f"All cells have the {equal} of the baseline: the {by} of each was solved for."


def precision(found: Precision) -> str:
    """In what precision the runs were trained, in words; a warning where they differ."""
    if len(found.runs) == 1:
        name, chosen = next(iter(found.runs)), found.chosen
        why = f" ({chosen.why})" if chosen and name.startswith(chosen.precision) else ""
        return f"All runs are trained in {name}{why}."
    parts = "; ".join(f"{name} in {listed(runs, most=4)}" for name, runs in found.runs.items())
    return f"Runs differ in precision, which may be what makes them differ: {parts}."


def _sizes(judged: Comparison, metric: Metric) -> str:
    """The interval of how large a difference is, whichever its direction."""
    if judged.interval is None:
        return ""
    low, high = judged.interval
    ends = (low, high) if judged.difference > 0 else (-high, -low)
    return f" (95 % interval {' to '.join(_bare(end, metric) for end in ends)})"


def _bare(value: float, metric: Metric, sign: bool = False) -> str:
    """A number without its unit, with a true minus sign."""
    plus = "+" if sign else ""
    text = f"{100 * value:{plus}.1f}" if metric.is_share else f"{value:{plus}.4g}"
    return text.replace("-", "−")
