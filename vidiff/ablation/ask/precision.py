"""The precision of an ablation's runs: ``auto`` is one precision for all, chosen once.

The choice stays in the output folder: on another machine runs, named by hashes of their configs,
would otherwise be new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.cells import Cell
from vidiff.ablation.ask.nodes import Config
from vidiff.files import read_json, write_json

PRECISION = "trainer.precision"
FILE = "precision.json"


class OnePrecision:
    """What ``auto`` is in all runs of an ablation, kept in the folder of its report."""

    def __init__(self, output: Path) -> None:
        self.path = output / FILE
        self.chosen: dict[str, str] = dict(read_json(self.path)) if self.path.exists() else {}

    def keep(self) -> None:
        """Write the choice, if there was one to make."""
        if self.chosen and not self.path.exists():
            write_json(self.path, self.chosen)

    def config(self, config: Config) -> Config:
        """A config that says its precision; one of the first run's device, if it did not."""
        asked = config.get(PRECISION, nodes.get(config, PRECISION, "auto"))
        if asked != "auto":
            return config
        if not self.chosen:
            from vidiff.precision import choose, device_of

            accelerator = nodes.get(config, "trainer.accelerator", "auto")
            on_gpu = nodes.devices_of(config)[2]  # for which jobs are handed out
            device = "cuda" if on_gpu else device_of(accelerator)
            self.chosen = asdict(choose(device)) | {"device": device}
        config = {key: value for key, value in config.items() if key != PRECISION}
        return nodes.replace(config, {PRECISION: self.chosen["precision"]})

    def cells(self, cells: Iterable[Cell], base: Config) -> list[Cell]:
        """Cells of a base config in which no value asks for ``auto``."""

        def chosen(cell: Cell) -> Cell:
            precision = nodes.get(self.config(cell.config(base)), PRECISION)
            return replace(cell, nodes={**cell.nodes, PRECISION: precision})

        return [chosen(c) if c.nodes.get(PRECISION) == "auto" else c for c in cells]


def precisions(runs: Sequence[tuple[str, Config, Mapping[str, Any]]]) -> dict[str, list[str]]:
    """The runs of each precision, from the name, the config and ``run.json`` of each.

    Once a run has trained, what it was trained in counts, which a user may have changed.
    """
    found: dict[str, list[str]] = {}
    for name, config, record in runs:
        devices = record.get("devices") or {}
        precision = str(devices.get("precision") or nodes.get(config, PRECISION, "32-true"))
        if precision == "32-true" and devices.get("matmul_precision") in ("high", "medium"):
            precision += " with TF32"
        found.setdefault(precision, []).append(name)
    return found
