"""An ablation in five steps, from its file to its report.

1. ask: the file and the configs that it names become cells (``ask/``).
2. check: every run is parsed, built and counted, and what makes the cells equal is solved for
   (``check/``). Everything that is wrong is raised here, before any run is started.
3. run: what is not done yet is trained, sampled and evaluated (``run/``, ``launchers/``).
4. judge: what the runs gave becomes means, differences and verdicts (``judge/``).
5. report: ``results.json`` for programs, a page and tables for people (``report/``).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidiff.ablation.ask.cells import select
from vidiff.ablation.ask.file import Ablation, read_ablation
from vidiff.ablation.check.preparation import DATA, Preparation, Work
from vidiff.ablation.run.folder import read_or_empty
from vidiff.ablation.run.progress import Progress
from vidiff.ablation.run.runner import Runner
from vidiff.errors import Errors, UsageError
from vidiff.files import encoded, read_json, write_bytes
from vidiff.registry import get_component

if TYPE_CHECKING:
    from vidiff.ablation.judge.schema import Results

RESULTS = "results.json"


def run_ablation(
    file: Path, asked: Preparation, only: Sequence[str] = (), retries: int = 1
) -> bool:
    """Run a part of an ablation; the report is of all. Returns whether this part is done."""
    axes, seeds = asked.ablation.axes, asked.ablation.seeds
    select([], axes, seeds, only)  # a part that does not exist is refused at once
    runs, folders = check(asked)
    if not run(asked.ablation, asked.first_work(), retries):
        print("vidiff: what comes first is not done: the cells wait for it", file=sys.stderr)
        return False
    is_done = run(asked.ablation, (select(runs, axes, seeds, only), folders), retries)
    report_runs(file, asked, (runs, folders))
    return is_done


def estimate(asked: Preparation) -> str:
    """The cells with parameters, FLOPs and time, once all are checked; nothing is trained."""
    from vidiff.ablation.check.estimates import table
    from vidiff.ablation.judge.statistics.verdicts import seeds_needed

    runs, folders = check(asked, may_train=False)
    num_seeds, num_others = len(asked.ablation.seeds), len({run.cell.name for run in runs}) - 1
    needed = [
        seeds_needed(metric, num_seeds, num_others, units)
        for metric, units in asked.num_units().items()
    ]
    return table(asked.ablation, runs, folders, needed)


def report_runs(file: Path, asked: Preparation, work: Work) -> None:
    """Judge what all runs gave so far, and report it."""
    results = judge(file, asked, work)
    report(results, asked.output, asked.ablation.report, asked.ablation.columns)


def report_again(
    file: Path, output: str | None, formats: Sequence[str], columns: Sequence[str]
) -> None:
    """Write a report anew from ``results.json``, without its runs."""
    from vidiff.ablation.judge.schema import read_results
    from vidiff.ablation.report.parts import check_parts

    check_parts(formats, columns, list)
    report(read_results(file), Path(output) if output else file.parent, formats, columns)


def ask(
    file: Path,
    output: str | None = None,
    plugins: Sequence[str] = (),
    formats: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> Preparation:
    """Step 1: the ablation of a file, with what is given besides or instead of what it says."""
    ablation = read_ablation(file)
    if output:
        ablation = replace(ablation, output=output, runs=str(Path(output) / "runs"))
    formats, columns = [*ablation.report, *formats], [*ablation.columns, *columns]
    asked = Preparation(replace(ablation, report=formats, columns=columns), plugins)
    if formats or columns:
        from vidiff.ablation.report.parts import check_parts

        check_parts(formats, columns, asked.plugins_of_base)
    return asked


def check(asked: Preparation, may_train: bool = True) -> Work:
    """Step 2: all runs, solved for and checked, or ``Errors``; may train and time for that."""
    match = asked.ablation.match
    if unsolved := asked.unsolved():
        assert match is not None, "there is something to solve for"
        _refuse(asked.check_cells())
        if match.equal == "time" and not may_train:
            raise UsageError(
                f"{len(unsolved)} cells have to be timed before it is known how many steps "
                "take equally long: call without --dry-run, or set match to flops"
            )
        _refuse(asked.solve(_seconds_per_step(asked) if match.equal == "time" else None))
    runs, folders = asked.work()
    _refuse(asked.check(runs, folders))
    return runs, folders


def run(ablation: Ablation, work: Work, retries: int, num_at_once: int | None = None) -> bool:
    """Step 3: run what is not done of some runs; returns whether all are done in the end."""
    runs, folders = work
    launcher = ablation.launcher
    done = sum(folders[run.id].is_done() for run in runs)
    if done == len(runs):
        return True
    num_at_once = num_at_once or launcher.num_at_once
    progress = Progress(len(runs), done, num_at_once, width=max(len(run.name) for run in runs))
    if done:
        progress.say(f"{done} of {len(runs)} runs are done already")
    runner = Runner(folders, launcher, progress, ablation.budget, retries, num_at_once)
    try:
        return runner.run(runs)
    except KeyboardInterrupt:
        progress.say("stopped; call again to go on")
        raise


def judge(file: Path, asked: Preparation, work: Work) -> Results:
    """Step 4: what all runs gave, and what it says; a ``UsageError`` if none is done yet."""
    from vidiff.ablation.judge.collect import collect

    results = collect(asked.ablation, file, *work, read_or_empty(asked.output / DATA))
    if not results.status.done:
        raise UsageError(f"no run of {file} is done yet: there is nothing to report")
    return results


def report(
    results: Results, output: Path, formats: Sequence[str] = (), columns: Sequence[str] = ()
) -> None:
    """Step 5: write the results into a folder, for programs and for people.

    ``formats`` and ``columns`` are names of components, besides those that every report has.
    """
    from vidiff.ablation.judge.schema import write_results
    from vidiff.ablation.report.content import Content
    from vidiff.ablation.report.writers import DEFAULT

    write_results(results, output / RESULTS)
    files: dict[str, str | bytes] = {}
    for name in [*(name for name in formats if name not in DEFAULT), *DEFAULT]:
        writer = get_component("report", name).cls()
        files |= writer.render(Content(results, output, columns, [RESULTS, *files]))
    for name, data in files.items():
        write_bytes(output / name, data if isinstance(data, bytes) else encoded(data))
    print(files["report.md"])
    for name in [*reversed(files), RESULTS]:
        print(f"written: {output / name}")


def _refuse(errors: Sequence[str]) -> None:
    if errors:
        raise Errors(errors)


def _seconds_per_step(asked: Preparation) -> dict[str, float]:
    """Seconds of a step of every cell, measured one cell after the other."""
    if not run(asked.ablation, asked.first_work(), retries=1):
        raise UsageError("what comes first could not be trained, and the cells wait for it")
    runs, folders = asked.timing_work()
    if not run(asked.ablation, (runs, folders), retries=1, num_at_once=1):
        raise UsageError("a cell could not be timed; its log.txt says why")
    return {
        each.cell.name: float(read_json(folders[each.id].train / "run.json")["seconds_per_step"])
        for each in runs
    }
