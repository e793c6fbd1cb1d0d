"""``vidiff evaluate``: measure folders of videos, and say how sure the figures are."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidiff.cli.errors import UsageError
from vidiff.commands.base import Command
from vidiff.files import refuse_overwrite, write_json, write_text
from vidiff.registry import get_component, list_components, nearest, register
from vidiff_eval.commands.options import (
    Options,
    change_protocol,
    dataset_options,
    make_metric,
    read_options,
)

if TYPE_CHECKING:
    from vidiff_eval.clips import ClipSet
    from vidiff_eval.metrics.base import VideoMetric

REPORT, PAGE = "report.json", "report.html"


@register("evaluate")
class Evaluate(Command):
    """Measure folders of videos with any metrics, and write a report with intervals.

    The videos may come from any model: a folder of files is enough. For example, with real videos
    to compare with: `vidiff evaluate --real real_videos --generated mine=samples --output report`,
    or by prompts alone: `vidiff evaluate --generated seen=out/seen unseen=out/unseen --metrics
    prompt_accuracy --protocol whole --output report`. Options of a metric are given as
    --METRIC.OPTION VALUE (`vidiff components show metric.METRIC` lists them), and
    --protocol.OPTION VALUE changes a protocol. Started by torchrun, processes share the work.
    """

    passes_on = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--generated", nargs="+", action="extend", required=True, metavar="[NAME=]DIR",
            help="folders of generated videos; several are reported side by side",
        )  # fmt: skip
        parser.add_argument("--real", type=Path, metavar="DIR", help="folder of real videos")
        parser.add_argument(
            "--prompts", type=Path, metavar="FILE",
            help="prompts of the generated videos: one a line in the order of their names, or "
            "path,caption (.csv, .jsonl); default: samples.jsonl or captions in their folder",
        )  # fmt: skip
        parser.add_argument(
            "--metrics", metavar="A,B",
            help="names, or `all` (the default): all that can be measured here. Known: "
            + ", ".join(list_components("metric")),
        )  # fmt: skip
        parser.add_argument(
            "--protocol", default="vidiff", metavar="NAME",
            help="which clips are compared, and how: " + ", ".join(_presets())
            + " (default: vidiff)",
        )  # fmt: skip
        parser.add_argument(
            "-c", "--config", type=Path, metavar="FILE.yaml",
            help="a run's config: options of a metric that its dataset has too come from there",
        )  # fmt: skip
        parser.add_argument("--output", type=Path, required=True, metavar="DIR")
        parser.add_argument("--overwrite", action="store_true", help="replace the output's report")
        parser.add_argument(
            "--dry-run", "--dry_run", action="store_true",
            help="check the options and what the metrics need, and measure nothing",
        )  # fmt: skip
        parser.add_argument("--title", default="", help="heading of the page")
        parser.add_argument(
            "--sanity", type=int, default=32, metavar="N",
            help="real clips of each half for the rows that show what a metric sees; 0: none "
            "(default: 32)",
        )  # fmt: skip
        parser.add_argument(
            "--store", type=Path, metavar="DIR",
            help="where features are kept (default: $VIDIFF_CACHE or ~/.cache/vidiff, /features)",
        )  # fmt: skip
        parser.add_argument(
            "--device", default="auto", help="cpu, cuda, cuda:1, …; default: a GPU if there is one"
        )
        parser.add_argument(
            "--batch_size", type=int, default=8, metavar="N", help="clips at a time (default: 8)"
        )

    def run(self, args: Namespace) -> int:
        from vidiff_eval.clips import choose_clips
        from vidiff_eval.evaluation import evaluate
        from vidiff_eval.presets import get_protocol
        from vidiff_eval.processes import is_first, joined
        from vidiff_eval.samples import parse_groups
        from vidiff_eval.store import Store, default_store

        for name in (REPORT, PAGE):
            refuse_overwrite(args.output / name, args.overwrite)
        options = read_options(args.rest)
        protocol = change_protocol(get_protocol(args.protocol), options.pop("protocol", []))
        if args.dry_run:
            return _check(args, options)
        folders = parse_groups(args.generated)
        if args.prompts and len(folders) > 1:
            raise UsageError(
                "evaluate: --prompts belongs to one folder, but --generated has "
                f"{len(folders)}: put captions.csv into each, or evaluate one at a time"
            )
        generated = {
            name: choose_clips(folder, protocol, side="generated", prompts=args.prompts)
            for name, folder in folders.items()
        }
        real = args.real and choose_clips(args.real, protocol, side="real")
        if args.metrics in (None, "all"):
            metrics, not_measured = _usable(generated, real, options, args.config)
        else:
            metrics, not_measured = _asked(args.metrics, options, args.config)
        with joined() as device_of:
            for metric in metrics.values():
                metric.to(device_of(args.device))
            report = evaluate(
                metrics, generated, real, protocol=protocol,
                store=Store(args.store or default_store()), num_sanity=args.sanity,
                batch_size=args.batch_size, progress=is_first(),
            )  # fmt: skip
            if is_first():
                self._write(args, {**report, "not_measured": not_measured}, generated)
        return 0

    def _write(
        self, args: Namespace, report: dict[str, Any], generated: Mapping[str, ClipSet]
    ) -> None:
        from vidiff_eval.report import render_evaluation

        paths = {
            name: {clip.id: clip.video.path for clip in clips.clips}
            for name, clips in generated.items()
        }
        title = args.title or args.output.resolve().name
        write_json(args.output / REPORT, report)
        write_text(args.output / PAGE, render_evaluation(report, clips=paths, title=title))
        print(table(report))
        for name, reason in report["not_measured"].items():
            print(f"not measured: {name} ({reason})")
        for warning in report["warnings"]:
            print(f"warning: {warning}")
        print(f"written: {args.output / REPORT}\nwritten: {args.output / PAGE}")


def _check(args: Namespace, options: Options) -> int:
    """Refuse what could not be measured whatever is generated."""
    if args.real is not None and not args.real.is_dir():
        raise ValueError(f"--real {args.real} is no folder")
    if args.metrics in (None, "all"):
        return 0
    for name, metric in _asked(args.metrics, options, args.config)[0].items():
        if metric.needs_real and args.real is None:
            raise ValueError(f"{name} compares with real videos: give their folder by --real")
    return 0


def _asked(
    names: str, options: Options, config: Path | None
) -> tuple[dict[str, VideoMetric], dict[str, str]]:
    """The metrics that were asked for, and those that must be read beside them.

    Raises:
        ValueError: if one of the former cannot be measured here.
    """
    asked = [name.strip() for name in names.split(",") if name.strip()]
    known = list_components("metric")
    for name in asked:
        get_component("metric", name)
    for name in options:
        if name not in asked:
            raise UsageError(
                f"evaluate: options for {name}, which is not among --metrics "
                f"{names}{nearest(name, asked)}"
            )
    metrics = {name: _make(name, options, config) for name in asked}
    for name, metric in metrics.items():
        try:
            _ = metric.settings
        except ValueError as error:
            raise ValueError(f"{name} cannot be measured: {error}") from error
    beside = [b for metric in metrics.values() for b in metric.beside if b in known]
    missing = {}
    for name in dict.fromkeys(beside):
        if name not in metrics:
            try:
                metric = _make(name, options, config)
                _ = metric.settings
                metrics[name] = metric
            except ValueError as error:
                missing[name] = str(error)
    return metrics, missing


def _usable(
    generated: Mapping[str, ClipSet], real: ClipSet | None, options: Options, config: Path | None
) -> tuple[dict[str, VideoMetric], dict[str, str]]:
    """All metrics that can be measured, and why the others cannot."""
    from vidiff_eval.metrics.base import PairMetric

    clips = [clip for some in generated.values() for clip in some.clips]
    metrics, missing = {}, {}
    for name in list_components("metric"):
        cls = get_component("metric", name).cls
        if issubclass(cls, PairMetric) or getattr(cls, "paired", False):
            missing[name] = f"compares pairs: ask for it by --metrics {name}"
            continue
        try:
            metric = _make(name, options, config)
            if metric.needs_real and real is None:
                raise ValueError("compares with real videos, and --real was not given")
            prompts = [clip.video.prompt for clip in clips]
            if metric.needs_prompts and not all(prompts):
                raise ValueError("judges by prompts, and not all videos have one")
            _ = metric.settings
            metric.check(clips)
        except (ValueError, UsageError) as error:
            if name in options:  # it was asked for by its options
                raise
            missing[name] = " ".join(str(error).split())
            continue
        metrics[name] = metric
    if not metrics:
        raise ValueError(
            "nothing can be measured: " + "; ".join(f"{k}: {v}" for k, v in missing.items())
        )
    return metrics, missing


def _make(name: str, options: Options, config: Path | None) -> VideoMetric:
    """A metric with the options of a config, and with given ones, which win."""
    taken = dataset_options(config, name) if config else []
    return make_metric(name, [*taken, *options.get(name, [])])


def _presets() -> list[str]:
    from vidiff_eval.presets import PRESETS

    return list(PRESETS)


def table(report: dict[str, Any]) -> str:
    """The figures as text: a line a figure, a column a group."""
    groups = report["groups"]
    rows = [
        ["", *(f"{name} ({group['num_clips']})" for name, group in groups.items()), "noise floor"]
    ]
    for name, metric in report["metrics"].items():
        floor = metric["noise_floor"]
        for index, figure in enumerate(metric["figures"]):
            cells = [_cell(group["figures"][name], figure) for group in groups.values()]
            rows.append([figure, *cells, f"{floor['mean']:.4g}" if floor and not index else ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _cell(figures: list[dict[str, Any]], name: str) -> str:
    figure = next((figure for figure in figures if figure["name"] == name), None)
    if figure is None or figure["value"] is None:
        return "-"
    low, high = figure["interval_95"] or (None, None)
    interval = "" if low is None else f" [{low:.4g}, {high:.4g}]"
    return f"{figure['value']:.4g}{interval}"
