"""``vidiff ablate``: run an ablation file to its end, and report what it says."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidiff.commands.base import LightCommand
from vidiff.errors import Errors, UsageError
from vidiff.registry import register


@register("ablate")
class Ablate(LightCommand):
    """Run an ablation file: which part helps, by how much, and how sure.

    All cells are checked and built on the meta device before any is trained. Then what is missing
    runs, what is done is skipped, and what failed goes on from its last checkpoint; so a call that
    was stopped, by whatever means, is simply repeated. Plugins are best named in the base config
    (plugins:); those of --plugins become a part of every run's config. For example:
    vidiff ablate experiments/ablations/conditioning/ablation.yaml --dry-run
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", type=Path, metavar="FILE.yaml",
            help="the ablation file; or results.json of one, whose report is written anew",
        )  # fmt: skip
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--dry-run", "--dry_run", action="store_true",
            help="check everything, and show the cells with parameters, FLOPs and estimated time",
        )  # fmt: skip
        what.add_argument(
            "--report", nargs="?", const="", metavar="FORMATS",
            help="only write the report anew, of what is there; with more formats, as in latex,png",
        )  # fmt: skip
        parser.add_argument(
            "--columns", default="", metavar="NAMES",
            help="columns of the table of costs besides the usual, of plugins too",
        )  # fmt: skip
        parser.add_argument(
            "--output", metavar="DIR",
            help="folder to write into, runs too, instead of the file's",
        )  # fmt: skip
        parser.add_argument(
            "--only", nargs="+", action="extend", default=[], metavar="AXIS=VALUE",
            help="run only this part, as in --only conditioning=adaln seed=0; the rest stays as it "
            "is",
        )  # fmt: skip
        parser.add_argument(
            "--retries", type=int, default=1, metavar="N",
            help="how often a run that fails is tried again, from its last checkpoint (default: 1)",
        )  # fmt: skip

    def run(self, args: Namespace) -> int:
        from vidiff.ablation import pipeline

        if args.retries < 0:
            raise UsageError(f"ablate: --retries must not be negative, got {args.retries}")
        parts = _split(args.report), _split(args.columns)
        if args.file.suffix == ".json":
            if args.dry_run or args.only:
                raise UsageError(
                    f"ablate: {args.file} has results: --report and --columns go with it"
                )
            pipeline.report_again(args.file, args.output, *parts)
            return 0
        asked = pipeline.ask(args.file, args.output, args.plugins, *parts)
        try:
            if args.report is not None:
                pipeline.report_runs(args.file, asked, asked.work())
            elif args.dry_run:
                print(pipeline.estimate(asked))
            else:
                with _ended_by_sigterm():
                    done = pipeline.run_ablation(args.file, asked, args.only, args.retries)
                return 0 if done else 1
        except Errors as errors:
            for line in errors.lines:
                print(f"vidiff: error: {line}", file=sys.stderr)
            count = f"{len(errors.lines)} error{'s' if len(errors.lines) > 1 else ''}"
            print(f"vidiff: {count}; nothing was started", file=sys.stderr)
            return 2
        return 0


def _split(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl-C does: in good order."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
