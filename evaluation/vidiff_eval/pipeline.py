"""An evaluation in five steps, from folders of videos to a report.

1. choose: the folders become clips, as the protocol says, and the metrics that can measure them
   (``clips/``, ``metrics/``). Everything that is wrong is raised here, before any work.
2. take: the clips are decoded, and what metrics compare is stored (``extraction/``).
3. measure: the stored features become scores, noise floors, sanity rows and curves (``judging/``).
4. report: the scores and how they came about become one report, with cautions (``judging/``).
5. write: ``report.json`` for programs, a table and a page for people (``pages/``).

Of several processes, all go through the first two steps, each with a share of the clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from vidiff.errors import Errors, UsageError
from vidiff.evaluation_report import Report, write_report
from vidiff.files import write_text
from vidiff.formatting import listed
from vidiff_eval.clips.choose import choose_clips
from vidiff_eval.clips.clip import Sides
from vidiff_eval.extraction.extract import Skipped, extract
from vidiff_eval.extraction.failing import Reasons, collecting, each_or_none, noting, one_line
from vidiff_eval.extraction.pairs import keep_pairs
from vidiff_eval.extraction.processes import device_of, is_first, joined
from vidiff_eval.extraction.sizes import check_sizes
from vidiff_eval.judging.findings import Tables, measure
from vidiff_eval.judging.metric_group import MetricGroup
from vidiff_eval.judging.misfits import misfits
from vidiff_eval.judging.report import report
from vidiff_eval.judging.sanity import sanity_sets, with_part
from vidiff_eval.judging.table import table

if TYPE_CHECKING:
    from vidiff_eval.commands.asked import Asked
    from vidiff_eval.metrics.base import PairMetric

REPORT, PAGE = "report.json", "report.html"


@dataclass(frozen=True)
class Chosen:
    """What is measured, and by what."""

    asked: Asked  # the options
    metrics: MetricGroup  # that can measure the clips
    sides: Sides  # the clips
    not_measured: Reasons  # why, by what cannot be measured; later steps add to it


def evaluate(asked: Asked) -> None:
    """Measure folders of videos and write the report.

    Raises:
        Errors: before the work, with all that is wrong.
        ValueError: if a set has no clip that can be read, or nothing can be measured.
        UsageError: if the page cannot be made; the report is written then.
    """
    with joined():
        tables = take(choose(asked))
        if is_first():  # the store has what all processes found
            write(report(measure(tables)), asked.output, asked.title)


def choose(asked: Asked) -> Chosen:
    """Step 1: clips, and the metrics that can measure them, or ``Errors``."""
    errors, sides = [*asked.errors], Sides({})
    for name, folder in asked.generated.items():
        with collecting(errors):
            sides.generated[name] = choose_clips(
                folder, asked.protocol, side="generated", prompts=asked.prompts
            )
    if asked.real:
        with collecting(errors):
            sides = Sides(sides.generated, choose_clips(asked.real, asked.protocol, side="real"))
    with collecting(errors):
        check_sizes(sides.sets)
    group, missing = MetricGroup(asked.metrics), {**asked.missing}
    with collecting(errors):
        group.to(device_of(asked.device))
    for name, metric in asked.metrics.items():
        if metric.needs_real and asked.real and not sides.real:
            continue  # the folder's own error is enough
        if reasons := [*misfits(metric, sides)]:
            missing[name] = "; ".join(reasons)
            errors += [f"{name}: {reason}" for reason in reasons if name in asked.required]
    if errors:
        raise Errors(errors)
    group = group.only([name for name in asked.metrics if name not in missing])
    if not group.metrics:
        reasons = [f"{name}: {why}" for name, why in missing.items()]
        raise ValueError("nothing can be measured: " + "; ".join(reasons))
    return Chosen(asked, group, sides, missing)


def take(chosen: Chosen) -> Tables:
    """Step 2: what metrics compare, in the store; damaged files and failing metrics are left out.

    Raises:
        ValueError: if a set has no clip left, or no metric is left.
    """
    asked, failed = chosen.asked, chosen.not_measured
    chosen = _take_pairs(_take_features(chosen))
    for clips in chosen.sides.sets:
        if not clips.clips:
            reasons = listed([f"{file}: {why}" for file, why in clips.skipped.items()], 3, "; ")
            raise ValueError(f"{clips.folder} has no video left that can be read ({reasons})")
    sanity = sanity_sets(chosen.sides.real, asked.num_sanity)
    with noting(failed, "the sanity rows"):
        features = with_part(chosen.metrics, sanity).features.values()
        extract(
            [*sanity.values()], [*features], asked.store,
            label="sanity rows", batch_size=asked.batch_size,
        )  # fmt: skip
    return Tables(asked.protocol, chosen.metrics, chosen.sides, sanity, asked.store, failed)


def _take_features(chosen: Chosen) -> Chosen:
    sets, store = chosen.sides.sets, chosen.asked.store
    damaged: list[Skipped] = [{} for _ in sets]

    def do(names: Sequence[str]) -> None:
        features = [*chosen.metrics.only(names).features.values()]
        found = extract(sets, features, store, batch_size=chosen.asked.batch_size)
        for known, files in zip(damaged, found, strict=True):
            known.update(files)

    kept = each_or_none([*chosen.metrics.metrics], do, chosen.not_measured, is_all=True)
    return replace(chosen, metrics=chosen.metrics.only(kept), sides=chosen.sides.without(damaged))


def _take_pairs(chosen: Chosen) -> Chosen:
    pairs, sides, real = chosen.metrics.of_pairs.metrics, chosen.sides, chosen.sides.real
    store, options = chosen.asked.store, {"batch_size": chosen.asked.batch_size}
    if not pairs or not real:
        return chosen
    damaged: list[Skipped] = [{} for _ in sides.sets]

    def do(names: Sequence[str]) -> None:
        some = cast("list[PairMetric]", [pairs[name] for name in names])
        for known, clips in zip(damaged, sides.generated.values(), strict=False):
            known.update(keep_pairs(some, real, clips, store, **options))

    others = [name for name in chosen.metrics.metrics if name not in pairs]
    kept = each_or_none([*pairs], do, chosen.not_measured, is_all=not others)
    left = chosen.metrics.only([*others, *kept])
    return replace(chosen, metrics=left, sides=sides.without(damaged))


def write(found: Report, output: Path, title: str = "") -> None:
    """Step 5: write and print the report; the page comes last, as it reads the videos again."""
    from vidiff_eval.pages import render_evaluation

    write_report(output / REPORT, found)
    print(table(found.groups, found.metrics))
    for name, reason in found.not_measured.items():
        print(f"not measured: {name} ({reason})")
    for warning in found.warnings:
        print(f"warning: {warning}")
    print(f"written: {output / REPORT}")
    try:
        page = render_evaluation(found, title=title or output.resolve().name)
        write_text(output / PAGE, page)
    except Exception as error:
        words = f"{output / PAGE} could not be made ({one_line(error)}); {REPORT} is whole"
        raise UsageError(words) from error
    print(f"written: {output / PAGE}")
