"""Numbers and differences in words: what all reports say in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def shown(value: float | None, metric: Record) -> str:
    """A value of a metric: a share in percent, others with four digits that count."""
    if value is None:
        return "–"
    if metric.get("unit") == "share":
        return _minus(f"{100 * value:.1f} %")
    return _minus(f"{value:.4g}")


def between(interval: Sequence[float] | None, metric: Record) -> str:
    """An interval of a metric's values; empty if there is none."""
    if interval is None:
        return ""
    low, high = (_bare(end, metric) for end in interval)
    return f"{low} to {high}{' %' if metric.get('unit') == 'share' else ''}"


def gap(difference: float | None, metric: Record, sign: bool = True) -> str:
    """A difference: of shares in points."""
    if difference is None:
        return "–"
    points = metric.get("unit") == "share"
    value = 100 * difference if points else difference
    text = f"{value:+.1f}" if points else f"{value:+.4g}"
    text = text if sign else text.lstrip("+-")
    return _minus(text) + (" points" if points else "")


def gap_between(interval: Sequence[float] | None, metric: Record) -> str:
    """An interval of differences, without their unit; empty if there is none."""
    if interval is None:
        return ""
    return " to ".join(_bare(end, metric, sign=True) for end in interval)


def chance(p: float | None) -> str:
    """A p-value."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def answers(results: Record, metric: str) -> list[str]:
    """What a metric says of each cell against the baseline, in sentences.

    What is sure comes first, and the largest difference before smaller ones.
    """
    described, baseline = results["metrics"][metric], results["baseline"]
    found: dict[str, list[str]] = {"better": [], "worse": [], "cannot tell": []}
    compared = [cell for cell in results["cells"] if metric in cell["differences"]]
    for cell in sorted(compared, key=lambda cell: -abs(cell["differences"][metric]["difference"])):
        judged = cell["differences"][metric]
        verdict, interval = judged["verdict"], gap_between(judged["interval_95"], described)
        if verdict == "cannot tell":
            size = f"{gap(judged['difference'], described)}{_dash(interval)}"
            found[verdict].append(
                f"The data cannot tell {cell['name']} from {baseline} ({size}): {needed(judged)}."
            )
        else:
            says = f"by {gap(judged['difference'], described, sign=False)}"
            says += _sizes(judged, described)
            found[verdict].append(f"{cell['name']} is {verdict} than {baseline} {says}.")
    lines = [line for some in found.values() for line in some]
    return lines or [f"Nothing can be compared with {baseline} yet."]


def headline(results: Record, metric: str) -> str:
    """All answers of a metric in one sentence; empty for a single one, which says it itself."""
    compared = [cell["differences"].get(metric) for cell in results["cells"]]
    verdicts = [judged["verdict"] for judged in compared if judged is not None]
    if len(verdicts) < 2:
        return ""
    baseline, others = results["baseline"], f"the {len(verdicts)} others"
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


def needed(judged: Record) -> str:
    """What it would take to tell."""
    seeds = judged.get("further_seeds")
    if seeds:
        return f"about {seeds} further seed{'s' if seeds != 1 else ''} would be needed"
    reason = str(judged.get("reason") or "").rstrip(".")
    return reason[:1].lower() + reason[1:] or "more seeds would be needed"


def effect_name(effect: Record) -> str:
    """A main effect or an interaction."""
    if "axes" in effect:
        pairs = zip(effect["axes"], effect["values"], effect["against"], strict=True)
        return " with ".join(f"{axis}: {value} against {base}" for axis, value, base in pairs)
    return f"{effect['axis']}: {effect['value']} against {effect['against']}"


def status(results: Record) -> str:
    """What is missing, in words; empty if nothing is."""
    state = results["status"]
    parts = []
    if state["failed"]:
        parts.append(f"{len(state['failed'])} of {state['runs']} runs failed")
    if state["missing"]:
        parts.append(f"{state['missing']} of {state['runs']} runs are not done yet")
    for metric in dict.fromkeys(entry["metric"] for entry in results.get("not_found", ())):
        entries = [entry for entry in results["not_found"] if entry["metric"] == metric]
        count = sum(len(entry["runs"]) for entry in entries)
        parts.append(f"{count} of {state['runs']} runs have no {metric} ({entries[0]['reason']})")
    return " and ".join(parts)


def equal(results: Record) -> str:
    """In what the cells are equal, in words."""
    match = results["match"]
    if match is None:
        return "Nothing was made equal but the number of steps, unless a cell sets it."
    what = {"parameters": "trained parameters", "flops": "FLOPs", "time": "training time"}
    by = match["by"].rpartition(".")[2].replace("max_steps", "number of steps")
    equal = what[match["equal"]]
    return f"All cells have the {equal} of the baseline: the {by} of each was solved for."


def precision(results: Record) -> str:
    """In what precision the runs were trained, in words; a warning where they differ."""
    found, chosen = results["precision"]["runs"], results["precision"]["chosen"]
    if len(found) == 1:
        name = next(iter(found))
        is_chosen = chosen is not None and name.startswith(chosen["precision"])
        why = f" ({chosen['why']})" if is_chosen else ""
        return f"All runs are trained in {name}{why}."
    listed = [f"{name} in {_some(runs)}" for name, runs in found.items()]
    return f"Runs differ in precision, which may be what makes them differ: {'; '.join(listed)}."


def _some(names: Sequence[str], most: int = 4) -> str:
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left} more" if left > 0 else "")


def _sizes(judged: Record, metric: Record) -> str:
    """The interval of how large a difference is, whichever its direction."""
    if judged["interval_95"] is None:
        return ""
    low, high = judged["interval_95"]
    ends = (low, high) if judged["difference"] > 0 else (-high, -low)
    return f" (95 % interval {' to '.join(_bare(end, metric) for end in ends)})"


def _dash(interval: str) -> str:
    return f", {interval}" if interval else ""


def _bare(value: float, metric: Record, sign: bool = False) -> str:
    plus = "+" if sign else ""
    if metric.get("unit") == "share":
        return _minus(f"{100 * value:{plus}.1f}")
    return _minus(f"{value:{plus}.4g}")


def _minus(text: str) -> str:
    return text.replace("-", "−")
