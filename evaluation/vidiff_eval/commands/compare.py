"""``vidiff compare``: two reports, and whether their difference means anything."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from vidiff.commands.base import LightCommand
from vidiff.evaluation_report import read_report
from vidiff.files import refuse_overwrite, write_json
from vidiff.formatting import columns
from vidiff.registry import register
from vidiff_eval.judging.compare import Comparison, Incomparable, choose_groups, compare


@register("compare")
class Compare(LightCommand):
    """Compare two reports of `vidiff evaluate`; refuse if they were not measured in one way.

    For example: vidiff compare base/report.json mine/report.json. Two groups of one report:
    vidiff compare report.json report.json --group base=mine.
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("a", type=Path, metavar="A.json", help="report to compare with")
        parser.add_argument("b", type=Path, metavar="B.json", help="report that is compared")
        parser.add_argument(
            "--group", default="", metavar="NAME",
            help="group of both, or A=B for one of each; default: all of the same name",
        )  # fmt: skip
        parser.add_argument(
            "--metrics", default="", metavar="A,B", help="only these; default: all that both have"
        )
        parser.add_argument(
            "--output", type=Path, metavar="FILE.json", help="write the comparison there too"
        )
        parser.add_argument("--overwrite", action="store_true", help="replace the output")

    def run(self, args: Namespace) -> int:
        if args.output:
            refuse_overwrite(args.output, args.overwrite)
        a, b = read_report(args.a), read_report(args.b)
        metrics = [name.strip() for name in args.metrics.split(",") if name.strip()] or None
        comparisons = []
        for groups in choose_groups(a, b, args.group):
            try:
                comparisons.append(compare(a, b, groups=groups, metrics=metrics))
            except Incomparable as error:
                print(_refusal(error, groups), file=sys.stderr)
                return 1
        print("\n\n".join(map(table, comparisons)))
        if args.output:
            files = {"a": str(args.a), "b": str(args.b)}
            write_json(args.output, {**files, "comparisons": [one.record for one in comparisons]})
            print(f"written: {args.output}")
        return 0


def table(comparison: Comparison) -> str:
    """A comparison as text: a line a score."""
    first, second = comparison.groups
    names = (f"A: {first}", f"B: {second}") if first != second else ("A", "B")
    counts = comparison.num_clips
    lines = [["", *(f"{n} ({c} clips)" for n, c in zip(names, counts, strict=True)),
              "B - A", "95 % interval", "noise floor", ""]]  # fmt: skip
    for change in comparison.scores:
        arrow = {True: " ↑", False: " ↓", None: ""}[change.higher_is_better]
        said = change.verdict
        words = f"B is {said}" if said in ("better", "worse", "higher", "lower") else said
        low, high = map(_number, change.interval or (None, None))
        lines.append(
            [
                change.score + arrow,
                *map(_number, (change.a, change.b, change.difference)),
                f"[{low}, {high}]" if change.interval else "-",
                _number(change.noise_floor),
                words + (" (paired)" if change.method.startswith("paired") else ""),
            ]
        )
    title = f"group {first}" if first == second else f"{first} and {second}"
    notes = [f"note: {note}" for note in comparison.notes]
    notes += [
        f"only in {side.upper()}: {', '.join(metrics)}"
        for side, metrics in comparison.only_in.items()
        if metrics
    ]
    return "\n".join([title, *columns(lines), *notes])


def _refusal(error: Incomparable, groups: tuple[str, str]) -> str:
    """The reason in a line, and each differing field with the values of both reports."""
    metrics: dict[tuple[str, str, str], list[str]] = {}
    for metric, fields in error.differing.items():
        for name, (one, other) in fields.items():
            metrics.setdefault((name, _plain(one), _plain(other)), []).append(metric)
    lines = [["field", "A", "B", "of"]]
    lines += [[*field, ", ".join(names)] for field, names in metrics.items()]
    return "\n".join([f"{' and '.join(dict.fromkeys(groups))}: {error}", *columns(lines)])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _plain(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 48 else text[:45] + "…"
