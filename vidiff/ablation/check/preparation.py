"""From an ablation file to runs that are known to build, each with its folder.

What was counted and solved stays in the output folder: a later call needs no model to go on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.cells import ROOT, Cell, Run, alike, content_id, expand, make_runs
from vidiff.ablation.ask.file import Ablation
from vidiff.ablation.ask.nodes import Config
from vidiff.ablation.ask.precision import OnePrecision
from vidiff.ablation.run.folder import COSTS, RunFolder, make_folder, read_or_empty
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
    """An ablation on its way to runs; all configs name ``plugins`` besides their own."""

    ablation: Ablation
    plugins: Sequence[str] = ()

    @property
    def output(self) -> Path:
        """The folder of its report."""
        return Path(str(self.ablation.output))

    @cached_property
    def base(self) -> Config:
        """The config that every cell changes."""
        return self._read(self.ablation.base)

    def plugins_of_base(self) -> list[str]:
        """Plugins that every run loads."""
        return list(self.base.get("plugins", []))

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

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells before anything is solved for; validated at their ends if a metric needs it."""
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
            folder = make_folder(run, self.output / "first")[0]
            root = Path(str(nodes.get(run.config, ROOT, "runs/unnamed")))
            phases = [replace(phase, folder=root) for phase in folder.phases]
            folders[run.id] = RunFolder(folder.path, phases, train=root)
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

    def timing_work(self) -> Work:
        """A short run of each cell, by which its steps are timed."""
        short = {
            "seed_everything": 0, "trainer.max_steps": TIMED_STEPS,
            "trainer.limit_val_batches": 0, "trainer.log_every_n_steps": 10,
            "trainer.callbacks": [],
        }  # fmt: skip
        runs, folders = [], {}
        for cell in self.cells:
            config = nodes.replace(cell.config(self.base), short)
            run = Run(cell, 0, config, content_id(config))
            folder, config = make_folder(run, self.output / "timing")
            folder.prepare(config, f"times a step of {cell.name}")
            runs.append(run)
            folders[run.id] = folder
        return runs, folders

    def seconds_before(self, config: Config) -> float:
        """Seconds that training what a config needs took; a ``ValueError`` if it has not run."""
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

    # -- What is made equal -----------------------------------------------------------------------

    def unsolved(self) -> list[Cell]:
        """Cells for which it is not yet known what makes them equal to the baseline."""
        if self.ablation.match is None:
            return []
        known = self._known()
        return [cell for cell in self.cells if self._key(cell) not in known]

    def solve(self, seconds: Mapping[str, float] | None = None) -> list[str]:
        """Solve for what makes all cells equal to the baseline, and keep it.

        ``seconds``: of a step, by the name of a cell, where time is to be equal. Returns errors.
        """
        known, errors = self._known(), []
        for cell in self.unsolved():
            try:
                solved, equality = self._solved(cell, seconds)
            except (ValueError, UsageError) as error:
                errors.append(f"{cell.name}: {error}")
            else:
                known[self._key(cell)] = {"solved": solved, "equality": equality}
        if not errors:
            self.precision.keep()
            write_json(self.output / SOLVED, known)
        return errors

    def _solved(
        self, cell: Cell, seconds: Mapping[str, float] | None
    ) -> tuple[dict[str, Any], float]:
        from vidiff.ablation.check.solve import solve, steps_of_equal_time

        assert self.ablation.match is not None, "there is something to solve for"
        baseline = self._baseline
        config, theirs = cell.config(self.base), baseline.config(self.base)
        if seconds is None:
            return solve(config, theirs, self.ablation.match, self.checker)[1:]
        before = self.seconds_before(config) - self.seconds_before(theirs)
        return steps_of_equal_time(seconds[cell.name], seconds[baseline.name], before, theirs)

    @property
    def _baseline(self) -> Cell:
        return next(cell for cell in self.cells if cell.is_baseline)

    def _known(self) -> dict[str, Any]:
        return read_or_empty(self.output / SOLVED)

    def _key(self, cell: Cell) -> str:
        """Of everything that a solution depends on."""
        configs = [each.config(self.base) for each in (cell, self._baseline)]
        parts = [*configs, vars(self.ablation.match), list(self.first.values())]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    # -- Runs -------------------------------------------------------------------------------------

    def work(self) -> Work:
        """All runs and their folders; a ``ValueError`` for cells that are unsolved, or the same."""
        if missing := self.unsolved():
            raise ValueError(
                f"it is not known yet what makes {missing[0].name} equal to the baseline: call "
                "without --report first"
            )
        cells = self.cells
        if self.ablation.match is not None:
            known = self._known()
            cells = [replace(cell, **known[self._key(cell)]) for cell in cells]
        runs = make_runs(cells, self.base, self.ablation.seeds)
        for one, other in alike(runs):
            raise ValueError(
                f"cells {one.cell.name} and {other.cell.name} have the same config: leave one out"
            )
        return runs, {run.id: self._folder(run)[0] for run in runs}

    def _folder(self, run: Run) -> tuple[RunFolder, Config]:
        ablation, store = self.ablation, Path(str(self.ablation.runs))
        return make_folder(run, store, ablation.samples, ablation.evaluation)

    def check_cells(self) -> list[str]:
        """Parse and build every cell before anything is solved for; returns what is wrong."""
        runs = make_runs(self.cells, self.base, self.ablation.seeds[:1])
        return self._explain(runs, self._examine(runs))

    def check(self, runs: Sequence[Run], folders: Mapping[str, RunFolder]) -> list[str]:
        """Check runs that never were, and write their folders; or return what is wrong."""
        ablation = self.ablation
        unchecked = [run for run in runs if not (folders[run.id].path / COSTS).exists()]
        asked = {
            "metrics": dict(ablation.metrics), "samples": ablation.samples,
            "evaluation": ablation.evaluation,
        }  # fmt: skip
        known = read_or_empty(self.output / ASKED)
        is_asked_anew = {key: known.get(key) for key in asked} != asked
        changed = [run for run in runs if not folders[run.id].is_prepared()]
        if not (unchecked or changed or is_asked_anew):
            return []
        first = self._first_runs() if unchecked else []
        costs = self._examine(unchecked)
        errors = self._explain(unchecked, costs) + self._explain(first, self._examine(first))
        # All cells are compared by the names of the baseline's values.
        config = next((run.config for run in runs if run.cell.is_baseline), self.base)
        errors += self.checker.check_measuring(
            ablation.samples, ablation.evaluation, config, ablation.metrics
        )
        if errors:
            return errors
        self.precision.keep()
        for run in changed:
            folder, config = self._folder(run)
            folder.prepare(config, f"{run.name}; {ablation.question}")
        for run, found in zip(unchecked, costs, strict=True):
            before = 0.0
            with suppress(ValueError):  # it has not run yet, and time need not be equal
                before = self.seconds_before(run.config)
            write_json(folders[run.id].path / COSTS, vars(found) | {"seconds_before": before})
        if unchecked:
            write_json(self.output / DATA, self.checker.data(self.base))
        num_units = self.checker.num_units(ablation.metrics, ablation.samples, config)
        write_json(self.output / ASKED, {**asked, "num_units": num_units})
        return []

    def num_units(self) -> dict[str, int | None]:
        """See ``Checker.num_units``; empty before all is checked."""
        return dict(read_or_empty(self.output / ASKED).get("num_units", {}))

    def _examine(self, runs: Sequence[Run]) -> list[RunCosts | str]:
        return [self.checker.examine(run.config) for run in runs]

    def _explain(self, runs: Sequence[Run], costs: Sequence[RunCosts | str]) -> list[str]:
        """A line for each value that is wrong by itself, and for each other mistake.

        Each run reports only its first error, so one broken value would mask the other errors of
        its runs. A value whose runs all fail is therefore examined by itself, in the base config.
        """
        pairs = zip(runs, costs, strict=True)
        errors = [(run, found) for run, found in pairs if isinstance(found, str)]
        failed = {run.cell.name for run, _ in errors}
        wrong: dict[str, list[str]] = {}
        for axis, values in self.ablation.axes.items():
            for value, changed in values.items():
                having = {run.cell.name for run in runs if run.cell.choices.get(axis) == value}
                if not having or not having <= failed:
                    continue
                error = self.checker.examine(nodes.replace(self.base, changed))
                if isinstance(error, str):
                    wrong.setdefault(error, []).append(f"{axis}={value}")
                    errors = [each for each in errors if each[0].cell.choices[axis] != value]
        return [f"{', '.join(who)}: {error}" for error, who in wrong.items()] + _grouped(errors)


def _grouped(errors: Iterable[tuple[Run, str]]) -> list[str]:
    """A line for each mistake, with the first cell that has it and the number of the others."""
    cells: dict[str, list[str]] = {}
    for run, error in errors:
        cells.setdefault(error, []).append(run.cell.name)
    lines = []
    for error, names in cells.items():
        num_others = len(set(names)) - 1
        others = f" and {num_others} more cells" if num_others else ""
        lines.append(f"{names[0]}{others}: {error}")
    return lines
