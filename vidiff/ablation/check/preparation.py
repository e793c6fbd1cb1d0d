"""From an ablation file to runs that are known to build, each with its folder.

Everything is checked before anything is trained, and nothing is checked twice: what was counted and
solved stays in the output folder, so that a later call needs no model to go on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.cells import (
    ROOT,
    Cell,
    Run,
    alike,
    content_id,
    expand,
    make_runs,
    with_solution,
)
from vidiff.ablation.ask.file import Ablation
from vidiff.ablation.ask.nodes import Config
from vidiff.ablation.ask.precision import OnePrecision
from vidiff.ablation.check.errors import errors_of, examine, grouped
from vidiff.ablation.run.folder import COSTS, RunFolder, make_folder
from vidiff.errors import UsageError
from vidiff.files import read_json, write_json
from vidiff.plugins import plugins_of
from vidiff.yaml_files import read_yaml

if TYPE_CHECKING:
    from vidiff.ablation.check.checker import Checker, RunCosts

SOLVED, DATA, ASKED = "solved.json", "data.json", "asked.json"

Work = tuple[list[Run], dict[str, RunFolder]]
"""Runs, and their folders by id."""

TIMED_STEPS = 100
"""Steps that a cell is timed for."""


@dataclass
class Preparation:
    """An ablation on its way to runs.

    Attributes:
        ablation: what was asked.
        plugins: files and modules that all configs name, beside their own.
    """

    ablation: Ablation
    plugins: Sequence[str] = ()

    @property
    def output(self) -> Path:
        """The folder of its report."""
        return Path(str(self.ablation.output))

    @property
    def store(self) -> Path:
        """The folder of its runs."""
        return Path(str(self.ablation.runs))

    @cached_property
    def base(self) -> Config:
        """The config that every cell changes."""
        return self._read(self.ablation.base)

    @cached_property
    def first(self) -> dict[str, Config]:
        """By path, the configs that are trained before all others."""
        return {path: self._read(path) for path in self.ablation.first}

    def _read(self, path: str) -> Config:
        config = self.precision.config(read_yaml(Path(path)))
        named = [*plugins_of(config, Path(path)), *self.plugins]
        return config | {"plugins": list(dict.fromkeys(named))} if named else config

    @cached_property
    def precision(self) -> OnePrecision:
        """What ``auto`` is in all runs."""
        return OnePrecision(self.output)

    @cached_property
    def checker(self) -> Checker:
        """Made where it is needed: it takes seconds to import what builds models."""
        from vidiff.ablation.check.checker import Checker

        return Checker(first=list(self.first.values()))

    def cells(self) -> list[Cell]:
        """The cells, without what is yet to be solved for; validated at their ends if a metric
        needs that.
        """
        cells = expand(self.ablation.axes, self.ablation.baseline, self.ablation.exclude)
        by_validation = any(name.startswith("val/") for name in self.ablation.metrics)
        cells = [replace(cell, to_be_validated=by_validation) for cell in cells]
        return self.precision.cells(cells, self.base)

    # -- What is trained before ------------------------------------------------------------------

    def first_work(self) -> Work:
        """The runs of the configs that come first; they write where these say."""
        runs = self._first_runs()
        folders = {}
        for run in runs:
            folder, _ = make_folder(run, self.store)
            place = self.output / "first" / run.id
            root = Path(str(nodes.get(run.config, ROOT, "runs/unnamed")))
            phases = [replace(folder.phases[0], folder=root)]
            words = [
                str(place / "config.yaml") if word.endswith("config.yaml") else word
                for word in phases[0].words
            ]
            folders[run.id] = RunFolder(place, [replace(phases[0], words=tuple(words))], train=root)
            folders[run.id].prepare(run.config, f"{run.cell.name}, trained before all others")
        return runs, folders

    def _first_runs(self) -> list[Run]:
        return [
            Run(
                Cell({"first": Path(path).stem}, {}), int(config.get("seed_everything") or 0),
                config, content_id(config),
            )
            for path, config in self.first.items()
        ]  # fmt: skip

    def timing_work(self, cells: Sequence[Cell]) -> Work:
        """Short runs of cells, that tell how long their steps take."""
        runs, folders = [], {}
        for cell in cells:
            config = nodes.replace(
                cell.config(self.base),
                {
                    "seed_everything": 0,
                    "trainer.max_steps": TIMED_STEPS,
                    "trainer.limit_val_batches": 0,
                    "trainer.log_every_n_steps": 10,
                    "trainer.callbacks": [],
                },
            )
            run = Run(cell, 0, config, content_id(config))
            folder, config = make_folder(run, self.output / "timing")
            folder.prepare(config, f"times a step of {cell.name}")
            runs.append(run)
            folders[run.id] = folder
        return runs, folders

    def seconds_before(self, config: Config) -> float:
        """How long the training of what a config needs took."""
        text = json.dumps(config)
        seconds = 0.0
        for path, first in self.first.items():
            root = str(nodes.get(first, ROOT, ""))
            if root and root in text:
                record = Path(root) / "run.json"
                if not record.exists():
                    raise ValueError(f"{path} has not been trained yet: there is no {record}")
                seconds += float(read_json(record)["training_seconds"])
        return seconds

    def check_cells(self, cells: Sequence[Cell]) -> list[str]:
        """Parse and build every cell as it is before anything is solved for; what is wrong."""
        runs = make_runs(cells, self.base, self.ablation.seeds[:1])
        return self._wrong(runs, self._examine(runs))

    # -- What is made equal -----------------------------------------------------------------------

    def unsolved(self) -> list[Cell]:
        """Cells for which it is not yet known what makes them equal to the baseline."""
        if self.ablation.match is None:
            return []
        known = self._known()
        return [cell for cell in self.cells() if self._key(cell) not in known]

    def solve(self, seconds: Mapping[str, float] | None = None) -> list[str]:
        """Find what makes all cells equal to the baseline, and keep it.

        Args:
            seconds: of a step, by the name of a cell, where time is to be equal.

        Returns:
            What went wrong, a line a cell.
        """
        from vidiff.ablation.check.solve import solve, steps_of_equal_time

        match = self.ablation.match
        assert match is not None, "there is something to solve for"
        known, errors = self._known(), []
        baseline = next(cell for cell in self.cells() if cell.is_baseline)
        of_baseline = baseline.config(self.base)
        for cell in self.unsolved():
            config = cell.config(self.base)
            try:
                if seconds is not None:
                    before = self.seconds_before(config) - self.seconds_before(of_baseline)
                    solved, equality = steps_of_equal_time(
                        seconds[cell.name], seconds[baseline.name], before, of_baseline
                    )
                else:
                    _, solved, equality = solve(config, of_baseline, match, self.checker)
            except (ValueError, UsageError) as error:
                errors.append(f"{cell.name}: {error}")
                continue
            known[self._key(cell)] = {"solved": solved, "equality": equality}
        if not errors:
            self.precision.keep()
            write_json(self.output / SOLVED, known)
        return errors

    def _known(self) -> dict[str, Any]:
        path = self.output / SOLVED
        return dict(read_json(path)) if path.exists() else {}

    def _key(self, cell: Cell) -> str:
        """Of everything that a solution depends on."""
        baseline = next(each for each in self.cells() if each.is_baseline)
        parts = [cell.config(self.base), baseline.config(self.base), vars(self.ablation.match)]
        text = json.dumps([*parts, list(self.first.values())], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    # -- Runs -------------------------------------------------------------------------------------

    def work(self) -> Work:
        """All runs and their folders, which need not be there.

        Raises:
            ValueError: if cells are not solved for, or two are the same.
        """
        if missing := self.unsolved():
            raise ValueError(
                f"it is not known yet what makes {missing[0].name} equal to the baseline: call "
                "without --report first"
            )
        cells, known = self.cells(), self._known()
        if self.ablation.match is not None:
            cells = [with_solution(cell, **known[self._key(cell)]) for cell in cells]
        runs = make_runs(cells, self.base, self.ablation.seeds)
        for one, other in alike(runs):
            raise ValueError(
                f"the cells {one.cell.name} and {other.cell.name} are the same config: leave one "
                "out, or correct what it replaces"
            )
        samples, evaluation = self.ablation.samples, self.ablation.evaluation
        folders = {run.id: make_folder(run, self.store, samples, evaluation)[0] for run in runs}
        return runs, folders

    def check(self, runs: Sequence[Run], folders: Mapping[str, RunFolder]) -> list[str]:
        """Parse and build every run that was never checked, and write its folder if all are well.

        Returns:
            What is wrong, a line for each mistake.
        """
        ablation = self.ablation
        unchecked = [run for run in runs if not (folders[run.id].path / COSTS).exists()]
        asked = {
            "metrics": dict(ablation.metrics), "samples": ablation.samples,
            "evaluation": ablation.evaluation,
        }  # fmt: skip
        path = self.output / ASKED
        is_asked_anew = not path.exists() or read_json(path) != asked
        changed = [run for run in runs if not folders[run.id].is_prepared()]
        if not (unchecked or changed or is_asked_anew):
            return []
        first = self._first_runs() if unchecked else []
        found, of_first = self._examine(unchecked), self._examine(first)
        errors = self._wrong(unchecked, found) + grouped(errors_of(first, of_first))
        errors += self.checker.check_measuring(
            ablation.samples, ablation.evaluation, self._of_baseline(runs), ablation.metrics
        )
        if errors:
            return errors
        self.precision.keep()
        for run in changed:
            folder, config = make_folder(run, self.store, ablation.samples, ablation.evaluation)
            folder.prepare(config, f"{run.name}; {ablation.question}")
        for run, costs in zip(unchecked, found, strict=True):
            before = {"seconds_before": self._before(run.config)}
            write_json(folders[run.id].path / COSTS, vars(costs) | before)
        if unchecked:
            write_json(self.output / DATA, self.checker.data(self.base))
        write_json(path, asked)
        return []

    def _of_baseline(self, runs: Sequence[Run]) -> Config:
        """The config whose names of values all cells are compared by."""
        return next((run.config for run in runs if run.cell.is_baseline), self.base)

    def _examine(self, runs: Sequence[Run]) -> list[RunCosts | str]:
        return examine(runs, self.checker)

    def _wrong(self, runs: Sequence[Run], found: Sequence[RunCosts | str]) -> list[str]:
        """What is wrong with runs: a line for each value that is wrong by itself, and for each
        mistake of those that are wrong together.

        A run tells of its first mistake alone; a value that is wrong by itself would hide all
        others of the runs that have it.
        """
        errors = errors_of(runs, found)
        failed = {run.cell.name for run, _ in errors}
        lines: dict[str, list[str]] = {}
        for axis, values in self.ablation.axes.items():
            for value, changed in values.items():
                having = {run.cell.name for run in runs if run.cell.choices.get(axis) == value}
                if not having or not having <= failed:
                    continue
                alone = Run(Cell({axis: value}, changed), 0, nodes.replace(self.base, changed), "")
                for _, error in errors_of([alone], self._examine([alone])):
                    lines.setdefault(error, []).append(f"{axis}={value}")
                    errors = [each for each in errors if each[0].cell.choices[axis] != value]
        return [f"{', '.join(who)}: {error}" for error, who in lines.items()] + grouped(errors)

    def _before(self, config: Config) -> float:
        try:
            return self.seconds_before(config)
        except ValueError:  # not yet, and not needed to be equal
            return 0.0
