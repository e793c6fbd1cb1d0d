"""``vidiff evaluate``: measure folders of sampled videos."""

from __future__ import annotations

import inspect
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidiff.commands.base import Command
from vidiff.registry import get_component, list_components, nearest, register
from vidiff_eval.files import refuse_overwrite, sha256, write_json
from vidiff_eval.metrics.base import Row, VideoMetric
from vidiff_eval.samples import INDEX, Sample, parse_groups, read_pixels, read_samples

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 16  # videos


@register("evaluate")
class Evaluate(Command):
    """Measure folders of sampled videos, and write what was found to a JSON file.

    For example: vidiff evaluate seen=out/seen unseen=out/unseen --output out/evaluation.json
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "samples", nargs="+", metavar="[NAME=]DIR", help="folders that `vidiff sample` wrote"
        )
        parser.add_argument(
            "--metric", default="prompt_accuracy", help="one of: " + ", ".join(_metrics())
        )
        for name, metrics in _options().items():
            parser.add_argument(
                f"--metric.{name}", metavar="YAML", help=f"option of {', '.join(metrics)}"
            )
        parser.add_argument(
            "-c", "--config", type=Path, metavar="FILE.yaml",
            help="a run's config: metric options that its dataset has too are taken from there",
        )  # fmt: skip
        parser.add_argument("--output", type=Path, required=True, metavar="FILE.json")
        parser.add_argument("--overwrite", action="store_true", help="replace the output")

    def run(self, args: Namespace) -> int:
        refuse_overwrite(args.output, args.overwrite)
        metric = make_metric(args.metric, _given_options(args))
        folders = parse_groups(args.samples)
        groups = {name: read_samples(path) for name, path in folders.items()}
        report = evaluate(metric, groups, name=args.metric)
        for name, path in folders.items():
            report["groups"][name]["folder"] = str(path)
            report["groups"][name]["index_sha256"] = sha256(path / INDEX)
        write_json(args.output, report)
        print(_table(report))
        print(f"written: {args.output}")
        return 0


def make_metric(name: str, options: dict[str, str]) -> VideoMetric:
    """Make a registered metric from options in YAML.

    Raises:
        ValueError: if there is no such metric or option, or a value has the wrong type.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    component = get_component("metric", name)
    known = list(inspect.signature(component.cls).parameters)
    if unknown := [option for option in options if option not in known]:
        raise ValueError(
            f"metric {name} has no option {unknown[0]!r}{nearest(unknown[0], known)}; "
            f"known: {', '.join(known)}"
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(component.cls, as_group=False)
    try:
        parsed = parser.parse_args([f"--{key}={value}" for key, value in options.items()])
    except ArgumentError as error:
        raise ValueError(f"metric {name}: {error}") from error
    return component.cls(**parsed.as_dict())


def evaluate(
    metric: VideoMetric, groups: dict[str, list[Sample]], *, name: str = ""
) -> dict[str, Any]:
    """Measure groups of samples.

    Returns:
        ``metric``, ``settings`` and ``versions``, which the figures depend on, and for each of the
        ``groups`` its ``summary`` and what was found of each of its ``videos``.

    Raises:
        ValueError: if the metric cannot judge a prompt, or a video cannot be read.
    """
    for samples in groups.values():
        metric.check_prompts([sample.prompt for sample in samples])
    return {
        "metric": name or type(metric).__name__,
        "higher_is_better": metric.higher_is_better,
        "settings": metric.settings,
        "versions": _versions(),
        "groups": {group: _evaluate(metric, group, samples) for group, samples in groups.items()},
    }


def _evaluate(metric: VideoMetric, group: str, samples: list[Sample]) -> dict[str, Any]:
    from tqdm import tqdm

    rows: list[Row] = []
    with tqdm(total=len(samples), desc=f"measuring {group}", unit="video") as bar:
        for start in range(0, len(samples), BATCH):
            batch = samples[start : start + BATCH]
            rows += _measure(metric, batch)
            bar.update(len(batch))
    videos = [
        {
            "index": sample.index,
            "prompt": sample.prompt,
            "seed": sample.seed,
            "file": sample.file,
            "sha256": sha256(sample.path),
            **row,
        }
        for sample, row in zip(samples, rows, strict=True)
    ]
    return {"summary": metric.summarise(metric.tally(rows)), "videos": videos}


def _measure(metric: VideoMetric, samples: Sequence[Sample]) -> list[Row]:
    """Measure samples together where they have one size, else one by one."""
    import torch

    pixels: list[Tensor] = [read_pixels(sample) for sample in samples]
    prompts = [sample.prompt for sample in samples]
    if len({video.shape for video in pixels}) == 1:
        return metric.measure(torch.stack(pixels), prompts)
    return [
        row
        for video, prompt in zip(pixels, prompts, strict=True)
        for row in metric.measure(video[None], [prompt])
    ]


def dataset_options(config: Path, metric: str) -> dict[str, str]:
    """The options of a metric that the dataset of a run's config has too, with its values.

    Raises:
        ValueError: if the file is missing, or is no config with a dataset.
    """
    import yaml

    try:
        dataset = yaml.safe_load(config.read_text(encoding="utf-8"))["data"]["dataset"]
    except FileNotFoundError as error:
        raise ValueError(f"--config {config} does not exist") from error
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"--config {config} is no config with a data.dataset") from error
    settings = (dataset.get("init_args") or {}) if isinstance(dataset, dict) else {}
    known = inspect.signature(get_component("metric", metric).cls).parameters
    return {name: json.dumps(value) for name, value in settings.items() if name in known}


def _given_options(args: Namespace) -> dict[str, str]:
    """Options of the metric: from the config, and from the command line, which wins."""
    prefix = "metric."
    flags = {
        key.removeprefix(prefix): value
        for key, value in vars(args).items()
        if key.startswith(prefix) and value is not None
    }
    return {**(dataset_options(args.config, args.metric) if args.config else {}), **flags}


def _metrics() -> list[str]:
    return list_components("metric")


def _options() -> dict[str, list[str]]:
    """The options of all metrics, each with the metrics that have it."""
    options: dict[str, list[str]] = {}
    for metric in _metrics():
        for name in inspect.signature(get_component("metric", metric).cls).parameters:
            options.setdefault(name, []).append(metric)
    return options


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    packages = ("vidiff", "torch", "av")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _table(report: dict[str, Any]) -> str:
    """A line a figure, a column a group."""
    summaries = {group: found["summary"] for group, found in report["groups"].items()}
    names = list(next(iter(summaries.values())))
    rows = [["", *summaries]]
    rows += [[name, *(_figure(s[name]) for s in summaries.values())] for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _figure(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(_figure(part) for part in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)
