"""``vidiff ablate``: run an ablation file to its end, and report what it says."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidiff.commands.base import LightCommand
from vidiff.errors import Errors, UsageError
from vidiff.registry import nearest, register

if TYPE_CHECKING:
    from vidiff.ablation.ask.cells import Run
    from vidiff.ablation.ask.file import Ablation
    from vidiff.ablation.check.preparation import Preparation, Work

RESULTS, PAGE, TABLE, CSV = "results.json", "report.html", "report.md", "results.csv"


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
        parser.add_argument("file", type=Path, metavar="FILE.yaml", help="the ablation file")
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--dry-run", "--dry_run", action="store_true",
            help="check everything, and show the cells with parameters, FLOPs and estimated time",
        )  # fmt: skip
        what.add_argument(
            "--report", action="store_true", help="only write the report anew, of what is there"
        )
        parser.add_argument(
            "--output", metavar="DIR",
            help="folder to write into, runs too, instead of the file's",
        )  # fmt: skip
        parser.add_argument(
            "--only", nargs="+", action="extend", default=[], metavar="AXIS=VALUE",
            help="run this part alone, as in --only conditioning=adaln seed=0; the rest stays as "
            "it is",
        )  # fmt: skip
        parser.add_argument(
            "--retries", type=int, default=1, metavar="N",
            help="how often a run that fails is tried again, from its last checkpoint (default: 1)",
        )  # fmt: skip

    def run(self, args: Namespace) -> int:
        from vidiff.ablation.ask.file import read_ablation
        from vidiff.ablation.check.preparation import Preparation

        if args.retries < 0:
            raise UsageError(f"ablate: --retries must not be negative, got {args.retries}")
        ablation = read_ablation(args.file)
        if args.output:
            runs = str(Path(args.output) / "runs")
            ablation = replace(ablation, output=args.output, runs=runs)
        preparation = Preparation(ablation, args.plugins)
        try:
            if args.report:
                return self._report(args.file, preparation, preparation.work())
            if args.dry_run:
                return self._show(preparation)
            with _ended_by_sigterm():
                return self._run(args, preparation)
        except Errors as errors:
            for line in errors.lines:
                print(f"vidiff: error: {line}", file=sys.stderr)
            count = len(errors.lines)
            said = f"{count} error{'s' if count > 1 else ''}; nothing was started"
            print(f"vidiff: {said}", file=sys.stderr)
            return 2

    def _run(self, args: Namespace, preparation: Preparation) -> int:
        ablation = preparation.ablation
        chosen([], ablation, args.only)  # what is asked for wrongly is refused at once
        work = _checked_work(preparation, may_train=True)
        runs = chosen(work[0], ablation, args.only)
        first = preparation.first_work()
        if not _run_all(ablation, first, args.retries):
            print("vidiff: what comes first is not done: the cells wait for it", file=sys.stderr)
            return 1
        is_done = _run_all(ablation, (runs, work[1]), args.retries)
        self._report(args.file, preparation, work)
        return 0 if is_done else 1

    def _show(self, preparation: Preparation) -> int:
        from vidiff.ablation.check.estimates import table

        runs, folders = _checked_work(preparation, may_train=False)
        print(table(preparation.ablation, runs, folders))
        return 0

    def _report(self, file: Path, preparation: Preparation, work: Work) -> int:
        from vidiff.ablation.check.preparation import DATA
        from vidiff.ablation.judge.collect import collect
        from vidiff.ablation.report import render_csv, render_html, render_markdown
        from vidiff.files import read_json, write_json, write_text

        output = preparation.output
        data = read_json(output / DATA) if (output / DATA).exists() else {}
        results = collect(preparation.ablation, file, *work, data)
        if not results["status"]["done"]:
            raise UsageError(f"no run of {file} is done yet: there is nothing to report")
        write_json(output / RESULTS, results)
        write_text(output / CSV, render_csv(results))
        text = render_markdown(results)
        write_text(output / TABLE, text)
        write_text(output / PAGE, render_html(results, output))
        print(text)
        for name in (PAGE, TABLE, CSV, RESULTS):
            print(f"written: {output / name}")
        return 0


def _checked_work(preparation: Preparation, may_train: bool) -> Work:
    """All runs, solved for and checked; what they need to be solved for is trained or timed.

    Raises:
        Errors: with everything that is wrong.
    """
    match = preparation.ablation.match
    cells = preparation.cells()
    if unsolved := preparation.unsolved():
        assert match is not None
        if errors := preparation.check_cells(cells):
            raise Errors(errors)
        seconds = None
        if match.equal == "time":
            if not may_train:
                raise UsageError(
                    f"{len(unsolved)} cells have to be timed before it is known how many steps "
                    "take equally long: call without --dry-run, or set match to flops"
                )
            seconds = _time(preparation)
        if errors := preparation.solve(seconds):
            raise Errors(errors)
    runs, folders = preparation.work()
    if errors := preparation.check(runs, folders):
        raise Errors(errors)
    return runs, folders


def _time(preparation: Preparation) -> dict[str, float]:
    """Seconds of a step of every cell, measured one cell after the other."""
    from vidiff.files import read_json

    ablation = preparation.ablation
    if not _run_all(ablation, preparation.first_work(), retries=1):
        raise UsageError("what comes first could not be trained, and the cells wait for it")
    runs, folders = preparation.timing_work(preparation.cells())
    if not _run_all(ablation, (runs, folders), retries=1, num_at_once=1):
        raise UsageError("a cell could not be timed; its log.txt says why")
    return {
        run.cell.name: float(read_json(folders[run.id].train / "run.json")["seconds_per_step"])
        for run in runs
    }


def _run_all(ablation: Ablation, work: Work, retries: int, num_at_once: int | None = None) -> bool:
    """Run what is not done of these; whether all are done in the end."""
    from vidiff.ablation.run.progress import Progress
    from vidiff.ablation.run.runner import Runner

    runs, folders = work
    launcher = ablation.launcher
    done = sum(folders[run.id].is_done() for run in runs)
    if done == len(runs):
        return True
    side_by_side = min(num_at_once or launcher.num_at_once, launcher.num_at_once)
    width = max(len(run.name) for run in runs)
    progress = Progress(len(runs), done, side_by_side, width)
    if done:
        progress.say(f"{done} of {len(runs)} runs are done already")
    runner = Runner(folders, launcher, progress, ablation.budget, retries, side_by_side)
    try:
        return runner.run(runs)
    except KeyboardInterrupt:
        progress.say("stopped; call again to go on")
        raise


def chosen(runs: Sequence[Run], ablation: Ablation, only: Sequence[str]) -> list[Run]:
    """The runs of a part: of all that ``only`` names of one axis, one has to be the run's.

    Raises:
        UsageError: if there is no such axis, value or seed.
    """
    wanted: dict[str, set[str]] = {}
    known = {axis: list(values) for axis, values in ablation.axes.items()}
    known["seed"] = [str(seed) for seed in ablation.seeds]
    for word in only:
        axis, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"--only {word}: give AXIS=VALUE, as in seed={known['seed'][0]}")
        if axis not in known:
            raise UsageError(
                f"--only {word}: unknown axis{nearest(axis, known)}; known: {', '.join(known)}"
            )
        if value not in known[axis]:
            raise UsageError(
                f"--only {word}: {axis} has no such value{nearest(value, known[axis])}; "
                f"known: {', '.join(known[axis])}"
            )
        wanted.setdefault(axis, set()).add(value)
    return [
        run
        for run in runs
        if all(
            (str(run.seed) if axis == "seed" else run.cell.choices[axis]) in values
            for axis, values in wanted.items()
        )
    ]


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl-C does: in good order."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
