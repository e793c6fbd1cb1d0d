"""The options of an evaluation as values, before any video is looked at."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidiff.checks import at_least
from vidiff.errors import Errors
from vidiff.files import refuse_overwrite
from vidiff.registry import get_component, list_components, nearest
from vidiff_eval.clips.sample_index import parse_groups
from vidiff_eval.commands.options import (
    change_protocol,
    make_metric,
    read_dataset,
    read_options,
    shared_options,
)  # fmt: skip
from vidiff_eval.extraction.failing import Reasons, collecting
from vidiff_eval.extraction.store import Store, default_store
from vidiff_eval.judging.misfits import NEEDS_REAL
from vidiff_eval.metrics.base import VideoMetric
from vidiff_eval.pipeline import PAGE, REPORT
from vidiff_eval.protocols.presets import get_protocol
from vidiff_eval.protocols.protocol import Protocol

Make = Callable[[str], VideoMetric]
Made = tuple[dict[str, VideoMetric], Reasons]


@dataclass(frozen=True)
class Asked:
    """The options of an evaluation."""

    protocol: Protocol  # decides the clips
    generated: dict[str, Path]  # folders by name of their group
    real: Path | None  # folder of real videos; None without
    prompts: Path | None  # file of prompts; None takes those of the folders
    metrics: dict[str, VideoMetric]  # all that can be made here; they follow the protocol
    required: set[str]  # names of metrics that must be measured, as they were asked for
    missing: Reasons  # by name, why other metrics cannot be made here
    store: Store  # keeps features
    num_sanity: int  # real clips of each half for the sanity rows; 0 for none
    batch_size: int  # clips that go through a network at once
    device: str  # to compute on, or ``auto``
    output: Path  # folder of the report
    title: str  # heading of the page
    errors: list[str]  # all that is wrong, a line each

    def check(self) -> None:
        """Refuse what could not be measured whatever is generated.

        Raises:
            Errors: with all of it.
        """
        errors = [*self.errors]
        if self.real is not None and not self.real.is_dir():
            errors.append(f"--real {self.real} is no folder")
        elif self.real is None:
            errors += [
                f"{name}: {NEEDS_REAL}--real"
                for name, metric in self.metrics.items()
                if metric.needs_real and name in self.required
            ]
        if errors:
            raise Errors(errors)


def ask(args: Namespace) -> Asked:
    """Turn the command's options into values; what is wrong with them is in ``errors``.

    Raises:
        Errors: with all of it if there is no such protocol, so that the clips are not known.
    """
    errors: list[str] = []
    options = read_options(args.rest, errors)
    of_protocol = options.pop("protocol", [])
    protocol, groups = None, {}
    settings: Mapping[str, Any] = {}
    for least, numbers in ((1, {"batch_size": args.batch_size}), (0, {"sanity": args.sanity})):
        with collecting(errors):
            at_least(least, **numbers)
    for name in (REPORT, PAGE):
        with collecting(errors):
            refuse_overwrite(args.output / name, args.overwrite)
    with collecting(errors):
        protocol = change_protocol(get_protocol(args.protocol), of_protocol)
    with collecting(errors):
        groups = parse_groups(args.generated)
    if args.prompts and len(groups) > 1:
        errors.append(
            "evaluate: --prompts belongs to one folder, but --generated has "
            f"{len(groups)}: put captions.csv into each, or evaluate one at a time"
        )
    with collecting(errors):
        settings = read_dataset(args.config) if args.config else {}

    def make(name: str) -> VideoMetric:
        metric = make_metric(name, [*shared_options(settings, name), *options.get(name, [])])
        metric.follow(protocol or Protocol())
        return metric

    named = _named(args)
    required = {*options} if named is None else {*named}
    if named is None:
        metrics, missing = _all(make, required, errors)
    else:
        errors += [
            f"evaluate: options for {name}, which is not among --metrics {args.metrics}"
            f"{nearest(name, named)}"
            for name in options
            if name not in required
        ]
        metrics, missing = _with_beside(named, make, errors)
    if protocol is None:
        folders = [*([] if args.dry_run else groups.values()), *filter(None, [args.real])]
        raise Errors(
            errors + [f"{folder} is no folder" for folder in folders if not folder.is_dir()]
        )
    return Asked(
        protocol=protocol, generated=groups, real=args.real, prompts=args.prompts,
        metrics=metrics, required=required, missing=missing,
        store=Store(args.store or default_store()), num_sanity=args.sanity,
        batch_size=args.batch_size, device=args.device, output=args.output, title=args.title,
        errors=errors,
    )  # fmt: skip


def foretell(args: Namespace) -> tuple[tuple[str, ...], Reasons]:
    """The scores that options ask for, and by name why others will not be measured.

    Raises:
        Errors: if something in the options is wrong.
    """
    asked = ask(args)
    if asked.errors:
        raise Errors(asked.errors)
    measured = {n: m for n, m in asked.metrics.items() if asked.real or not m.needs_real}
    scores = tuple(score for metric in measured.values() for score in metric.scores)
    listed = f"it is not among evaluation.metrics ({args.metrics})"
    reasons: Reasons = {}
    for name in list_components("metric"):
        if name in measured:
            continue
        lacks_real = f"{NEEDS_REAL}evaluation.real" if name in asked.metrics else listed
        for score in (name, *(getattr(get_component("metric", name).cls, "scores", None) or ())):
            if score not in scores:
                reasons[score] = asked.missing.get(name, lacks_real)
    return scores, reasons


def _named(args: Namespace) -> list[str] | None:
    """The names after ``--metrics``, each once; None for all that can be measured."""
    if args.metrics in (None, "all"):
        return None
    return list(dict.fromkeys(name.strip() for name in args.metrics.split(",") if name.strip()))


def _all(make: Make, required: set[str], errors: list[str]) -> Made:
    """All metrics but those of pairs, which have to be asked for by name."""
    classes: dict[str, Any] = {n: get_component("metric", n).cls for n in list_components("metric")}
    paired = {name: cls.paired for name, cls in classes.items()}
    metrics, missing = _made([name for name in paired if not paired[name]], make, required, errors)
    missing |= {n: f"compares pairs: ask for it by --metrics {n}" for n in paired if paired[n]}
    return metrics, {name: missing[name] for name in paired if name in missing}


def _with_beside(named: list[str], make: Make, errors: list[str]) -> Made:
    """The named metrics, and those that must be read with them, if they can be made here."""
    metrics, _ = _made(named, make, {*named}, errors)
    beside = dict.fromkeys(name for metric in metrics.values() for name in metric.beside)
    known = [n for n in beside if n in list_components("metric") and n not in named]
    more, missing = _made(known, make, set(), errors)
    return metrics | more, missing


def _made(names: Iterable[str], make: Make, required: set[str], errors: list[str]) -> Made:
    """The metrics that can be made here, and why others cannot; ``errors`` if they are required."""
    metrics: dict[str, VideoMetric] = {}
    missing: Reasons = {}
    for name in names:
        said: list[str] = []
        with collecting(said):
            metrics[name] = make(name)
            _ = metrics[name].settings  # fails without weights, or without a package
        if said:
            lacks = f"{name} cannot be measured: " if metrics.pop(name, None) else ""
            if name in required:
                errors += [lacks + line for line in said]
            else:
                missing[name] = "; ".join(said)
    return metrics, missing
