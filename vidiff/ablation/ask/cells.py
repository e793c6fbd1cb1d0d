"""From an ablation to the runs that answer it.

A *cell* is one combination of the values of all axes. A *run* is a cell with one seed: a complete
config that `vidiff fit` takes by itself, and an id that is a hash of it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.nodes import Config
from vidiff.errors import UsageError
from vidiff.registry import nearest

ROOT = "trainer.default_root_dir"
"""Where a run keeps its checkpoints: not part of what it is."""

STEPS, INTERVAL = "trainer.max_steps", "trainer.val_check_interval"
EVERY_EPOCH = "trainer.check_val_every_n_epoch"

Axes = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By axis and by the name of its value: the nodes that this value replaces, by dotted key."""


@dataclass(frozen=True)
class Cell:
    """One combination of the values of all axes.

    ``solved`` makes it equal to the baseline, and ``equality`` is what was made equal, over the
    baseline's. ``to_be_validated``: cells are compared by what validation finds at their ends.
    """

    choices: Mapping[str, str]
    nodes: Mapping[str, Any]
    is_baseline: bool = False
    solved: Mapping[str, Any] = field(default_factory=dict)
    equality: float | None = None
    to_be_validated: bool = False

    @property
    def name(self) -> str:
        """The values, with the names of their axes where there are several."""
        if len(self.choices) == 1:
            return next(iter(self.choices.values()))
        return ", ".join(f"{axis}={value}" for axis, value in self.choices.items())

    def config(self, base: Config) -> Config:
        """The base config with the nodes of this cell, and with what was solved for."""
        config = nodes.replace(nodes.replace(base, self.nodes), self.solved)
        if self.to_be_validated:
            config = _validated_after_the_last_step(config)
        ends = self.to_be_validated or STEPS in self.solved
        return _validated_at_the_end(config) if ends else config


@dataclass(frozen=True)
class Run:
    """A cell with a seed; ``config`` is complete but for the run's folder, ``id`` a hash of it."""

    cell: Cell
    seed: int
    config: Config
    id: str

    @property
    def name(self) -> str:
        """The cell and the seed, for people."""
        return f"{self.cell.name}, seed {self.seed}"


def expand(
    axes: Axes,
    baseline: Mapping[str, str] | None = None,
    exclude: Sequence[Mapping[str, str]] = (),
) -> list[Cell]:
    """All combinations of the values, the baseline (by default of first values) first.

    A ``ValueError`` if two axes replace the same node, or the baseline is left out.
    """
    chosen = {axis: next(iter(values)) for axis, values in axes.items()} | dict(baseline or {})
    cells = []
    for names in itertools.product(*axes.values()):
        choices = dict(zip(axes, names, strict=True))
        if not any(left_out.items() <= choices.items() for left_out in exclude):
            cells.append(Cell(choices, _nodes(axes, choices), choices == chosen))
    if not any(cell.is_baseline for cell in cells):
        named = ", ".join(f"{axis}={value}" for axis, value in chosen.items())
        raise ValueError(f"exclude leaves out the baseline ({named}): name another one by baseline")
    return sorted(cells, key=lambda cell: not cell.is_baseline)


def make_run(cell: Cell, base: Config, seed: int) -> Run:
    """The run of a cell with a seed."""
    config = nodes.replace(cell.config(base), {"seed_everything": seed, "data.seed": seed})
    return Run(cell, seed, config, content_id(config))


def make_runs(cells: Sequence[Cell], base: Config, seeds: Sequence[int]) -> list[Run]:
    """Every cell with every seed; by seed, so that half of an ablation has some of every cell."""
    return [make_run(cell, base, seed) for seed in seeds for cell in cells]


def select(runs: Sequence[Run], axes: Axes, seeds: Sequence[int], only: Sequence[str]) -> list[Run]:
    """Runs that have, of each axis, one of the values in ``only``; or a ``UsageError``."""
    known = {axis: list(values) for axis, values in axes.items()}
    known["seed"] = [str(seed) for seed in seeds]
    wanted: dict[str, set[str]] = {}
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
    having = [(run, {**run.cell.choices, "seed": str(run.seed)}) for run in runs]
    return [run for run, has in having if all(has[axis] in wanted[axis] for axis in wanted)]


def content_id(config: Config) -> str:
    """A hash of a config, without the folders of its run and of its plugins."""
    if isinstance(plugins := config.get("plugins"), list):
        config = config | {"plugins": [Path(name).name for name in plugins]}
    trainer = {k: v for k, v in (config.get("trainer") or {}).items() if k != "default_root_dir"}
    text = json.dumps(config | {"trainer": trainer}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def alike(runs: Sequence[Run]) -> Iterator[tuple[Run, Run]]:
    """Pairs of runs with the same config, whose cells differ only in name."""
    first: dict[str, Run] = {}
    for run in runs:
        known = first.setdefault(run.id, run)
        if known is not run:
            yield known, run


def _validated_after_the_last_step(config: Config) -> Config:
    """Validated after its last step, as epochs need not end there, nor alike in all cells."""
    steps, interval = nodes.get(config, STEPS), nodes.get(config, INTERVAL)
    if _is_count(interval) or not _is_count(steps):
        return config
    return nodes.replace(config, {INTERVAL: _batches(config), EVERY_EPOCH: None})


def _validated_at_the_end(config: Config) -> Config:
    """Validated at least as often, and once more a few steps before its end."""
    interval = nodes.get(config, INTERVAL)
    if not _is_count(interval) or not _is_count(nodes.get(config, STEPS)):
        return config
    batches = _batches(config)
    return nodes.replace(config, {INTERVAL: batches // math.ceil(batches / interval)})


def _batches(config: Config) -> int:
    """Of the whole training, on a device."""
    each = nodes.get(config, "trainer.accumulate_grad_batches")
    return int(nodes.get(config, STEPS)) * (each if _is_count(each) else 1)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _nodes(axes: Axes, choices: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    by: dict[str, str] = {}
    for axis, value in choices.items():
        for key, node in axes[axis][value].items():
            if key in found:
                raise ValueError(f"axes {by[key]} and {axis} both replace {key}: join these axes")
            found[key], by[key] = node, axis
    return found
