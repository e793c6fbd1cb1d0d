"""``vidiff evaluate``: measure folders of videos, and say how sure the scores are."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vidiff.checks import at_least
from vidiff.commands.base import LightCommand
from vidiff.errors import Errors, UsageError
from vidiff.evaluation_report import Report, write_report
from vidiff.files import refuse_overwrite, write_text
from vidiff.registry import get_component, list_components, nearest, register
from vidiff_eval.commands.options import (
    Options,
    change_protocol,
    dataset_options,
    make_metric,
    read_dataset,
    read_options,
)
from vidiff_eval.commands.tables import table

if TYPE_CHECKING:
    from vidiff_eval.clips.clip import ClipSet
    from vidiff_eval.metrics.base import VideoMetric
    from vidiff_eval.protocols.protocol import Protocol

REPORT, PAGE = "report.json", "report.html"


@register("evaluate")
class Evaluate(LightCommand):
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
        from vidiff_eval.extraction.processes import is_first, joined
        from vidiff_eval.extraction.store import Store, default_store
        from vidiff_eval.judging.evaluate import evaluate
        from vidiff_eval.protocols.presets import get_protocol

        at_least(1, batch_size=args.batch_size)
        at_least(0, sanity=args.sanity)
        for name in (REPORT, PAGE):
            refuse_overwrite(args.output / name, args.overwrite)
        if args.config:
            read_dataset(args.config)
        options = read_options(args.rest)
        protocol = change_protocol(get_protocol(args.protocol), options.pop("protocol", []))
        if args.dry_run:
            return _check(args, options)
        generated, real, metrics, not_measured = _read(args, options, protocol)
        with joined() as device_of:
            for metric in metrics.values():
                metric.to(device_of(args.device))
            report = evaluate(
                metrics, generated, real, protocol=protocol,
                store=Store(args.store or default_store()), num_sanity=args.sanity,
                batch_size=args.batch_size, progress=is_first(),
            )  # fmt: skip
            if report is not None:
                report.not_measured = {**not_measured, **report.not_measured}
                return self._write(args, report, generated)
        return 0

    def foretell(self, args: Namespace) -> tuple[tuple[str, ...], dict[str, str]]:
        """The scores that options ask for, and by name why others will not be measured.

        Raises:
            Errors, UsageError, ValueError: if something in the options is wrong.
        """
        options = read_options(args.rest)
        options.pop("protocol", None)
        errors: list[str] = []
        known = {name: get_component("metric", name).cls for name in list_components("metric")}
        if args.metrics in (None, "all"):
            metrics, missing = _made(options, args.config)
        else:
            metrics, missing = _asked(args.metrics, options, args.config, errors)
            listed = f"it is not among evaluation.metrics ({args.metrics})"
            missing = {name: listed for name in known if name not in metrics} | missing
        if errors:
            raise Errors(errors)
        for name, metric in list(metrics.items()):
            if metric.needs_real and args.real is None:
                missing[name] = "it compares with real videos: give their folder by evaluation.real"
                del metrics[name]
        scores = tuple(score for metric in metrics.values() for score in metric.scores)
        reasons = {
            score: why
            for name, why in missing.items()
            for score in (name, *(getattr(known.get(name), "scores", None) or ()))
            if score not in scores
        }
        return scores, reasons

    def _write(self, args: Namespace, report: Report, generated: Mapping[str, ClipSet]) -> int:
        """Write and print what was measured, and the page last, as it reads the videos again."""
        from vidiff_eval.extraction.failing import one_line
        from vidiff_eval.pages import render_evaluation

        paths = {
            name: {clip.id: clip.video.path for clip in clips.clips}
            for name, clips in generated.items()
        }
        title = args.title or args.output.resolve().name
        write_report(args.output / REPORT, report)
        print(table(report.groups, report.metrics))
        for name, reason in report.not_measured.items():
            print(f"not measured: {name} ({reason})")
        for warning in report.warnings:
            print(f"warning: {warning}")
        print(f"written: {args.output / REPORT}")
        try:
            write_text(args.output / PAGE, render_evaluation(report, clips=paths, title=title))
        except Exception as error:
            raise UsageError(
                f"{args.output / PAGE} could not be made ({one_line(error)}); {REPORT} is whole"
            ) from error
        print(f"written: {args.output / PAGE}")
        return 0


def _check(args: Namespace, options: Options) -> int:
    """Refuse what could not be measured whatever is generated.

    Raises:
        Errors: with all of it.
    """
    errors = []
    if args.real is not None and not args.real.is_dir():
        errors.append(f"--real {args.real} is no folder")
    if args.metrics not in (None, "all"):
        metrics, _ = _asked(args.metrics, options, args.config, errors)
        errors += [
            f"{name}: it compares with real videos: give their folder by --real"
            for name, metric in metrics.items()
            if metric.needs_real and args.real is None
        ]
    if errors:
        raise Errors(errors)
    return 0


def _read(
    args: Namespace, options: Options, protocol: Protocol
) -> tuple[dict[str, ClipSet], ClipSet | None, dict[str, VideoMetric], dict[str, str]]:
    """The groups, the real clips, the metrics, and why others cannot be measured.

    Raises:
        Errors: with all that is wrong in folders and metrics.
    """
    from vidiff_eval.clips.clip import choose_clips
    from vidiff_eval.clips.sample_index import parse_groups

    folders = parse_groups(args.generated)
    if args.prompts and len(folders) > 1:
        raise UsageError(
            "evaluate: --prompts belongs to one folder, but --generated has "
            f"{len(folders)}: put captions.csv into each, or evaluate one at a time"
        )
    errors: list[str] = []
    generated: dict[str, ClipSet] = {}
    for name, folder in folders.items():
        try:
            generated[name] = choose_clips(folder, protocol, side="generated", prompts=args.prompts)
        except (ValueError, UsageError) as error:
            errors.append(str(error))
    real: ClipSet | None = None
    if args.real:
        try:
            real = choose_clips(args.real, protocol, side="real")
        except (ValueError, UsageError) as error:
            errors.append(str(error))
    if args.metrics not in (None, "all"):
        metrics, missing = _asked(args.metrics, options, args.config, errors)
    elif not errors:
        metrics, missing = _usable(generated, real, options, args.config, protocol)
    if errors:
        raise Errors([" ".join(error.split()) for error in errors])
    return generated, real, metrics, missing


def _asked(
    names: str, options: Options, config: Path | None, errors: list[str]
) -> tuple[dict[str, VideoMetric], dict[str, str]]:
    """The metrics that were asked for, and those that must be read beside them.

    ``errors`` is told of those that were asked for and cannot be measured here.
    """
    asked = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    known = list_components("metric")
    errors += [
        f"evaluate: options for {name}, which is not among --metrics {names}{nearest(name, asked)}"
        for name in options
        if name not in asked
    ]
    metrics = {}
    for name in asked:
        try:
            get_component("metric", name)
            metrics[name] = _make(name, options, config)
            _ = metrics[name].settings
        except (ValueError, UsageError) as error:
            is_known = name in metrics  # and lacks weights or a package
            errors.append(f"{name} cannot be measured: {error}" if is_known else str(error))
    beside = [b for metric in metrics.values() for b in metric.beside if b in known]
    missing = {}
    for name in dict.fromkeys(beside):
        if name not in metrics:
            try:
                metric = _make(name, options, config)
                _ = metric.settings
                metrics[name] = metric
            except (ValueError, UsageError) as error:
                missing[name] = " ".join(str(error).split())
    return metrics, missing


def _usable(
    generated: Mapping[str, ClipSet],
    real: ClipSet | None,
    options: Options,
    config: Path | None,
    protocol: Protocol,
) -> tuple[dict[str, VideoMetric], dict[str, str]]:
    """All metrics that can be measured, and why the others cannot."""
    from vidiff_eval.extraction.failing import misfits

    metrics, missing = _made(options, config)
    for name, metric in list(metrics.items()):
        metric.follow(protocol)
        if reasons := "; ".join(misfits(metric, generated, real)):
            if name in options:  # it was asked for by its options
                raise ValueError(f"{name}: {reasons}")
            missing[name] = reasons
            del metrics[name]
    if not metrics:
        raise ValueError(
            "nothing can be measured: " + "; ".join(f"{k}: {v}" for k, v in missing.items())
        )
    return metrics, missing


def _made(options: Options, config: Path | None) -> tuple[dict[str, VideoMetric], dict[str, str]]:
    """All metrics but those of pairs, and why others cannot be made here."""
    metrics: dict[str, VideoMetric] = {}
    missing = {}
    for name in list_components("metric"):
        cls: type[VideoMetric] = get_component("metric", name).cls
        if cls.paired:
            missing[name] = f"compares pairs: ask for it by --metrics {name}"
            continue
        try:
            metric = _make(name, options, config)
            _ = metric.settings
        except (ValueError, UsageError) as error:
            if name in options:  # it was asked for by its options
                raise
            missing[name] = " ".join(str(error).split())
            continue
        metrics[name] = metric
    return metrics, missing


def _make(name: str, options: Options, config: Path | None) -> VideoMetric:
    """A metric with the options of a config, and with given ones, which win."""
    taken = dataset_options(config, name) if config else []
    return make_metric(name, [*taken, *options.get(name, [])])


def _presets() -> list[str]:
    from vidiff_eval.protocols.presets import PRESETS

    return list(PRESETS)
