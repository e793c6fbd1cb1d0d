"""Callbacks and loggers: Lightning owns these kinds, and they are listed without importing it."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vidiff.registry import Component, Kind, all_components

BASES = {"callback": "Callback", "logger": "Logger"}
"""Kinds of Lightning's own, and their base classes."""

LIGHTNING = {
    "callback": {
        "DeviceStatsMonitor": "Logs the memory and load of the device.",
        "EarlyStopping": "Stops training when a logged value no longer improves.",
        "LearningRateMonitor": "Logs the learning rate of each group of parameters.",
        "ModelCheckpoint": "Keeps the best checkpoints by a logged value, or one every few steps.",
        "ModelSummary": "Prints the modules of the model and their parameters.",
        "OnExceptionCheckpoint": "Saves a checkpoint when training ends by an exception.",
        "RichProgressBar": "Shows progress by the package rich.",
        "TQDMProgressBar": "Shows progress by the package tqdm.",
        "Timer": "Stops training after a given time.",
    },
    "logger": {
        "CSVLogger": "Writes scalars to a CSV file.",
        "MLFlowLogger": "Logs to MLflow.",
        "TensorBoardLogger": "Writes files for TensorBoard.",
        "WandbLogger": "Logs to Weights & Biases.",
    },
}


@dataclass(frozen=True)
class LightningPart:
    """A class that is not imported so far; in lists it stands with the components."""

    kind: str
    name: str
    module: str
    summary: str

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.module.partition(".")[0]

    def load(self) -> Component:
        """Import it."""
        module = importlib.import_module(self.module)
        return Component(self.kind, self.name, getattr(module, self.name))


def lightning_parts(kind: str = "") -> list[LightningPart]:
    """Those of one kind, or all; by kind and name."""
    parts = [
        LightningPart(owned, name, f"lightning.pytorch.{owned}s", summary)
        for owned, table in LIGHTNING.items()
        for name, summary in table.items()
    ]
    parts += _callbacks()
    return sorted((p for p in parts if kind in ("", p.kind)), key=lambda p: (p.kind, p.name))


def load_kind(name: str) -> Kind:
    """One of Lightning's kinds, with everything imported."""
    base = getattr(importlib.import_module(f"lightning.pytorch.{name}s"), BASES[name])
    return Kind(name, base, (), {part.name: part.load() for part in lightning_parts(name)})


def _callbacks() -> Iterator[LightningPart]:
    """The callbacks of vidiff and of plugins, from their source."""
    known = {"Callback", *LIGHTNING["callback"]}
    for module, file in _sources():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef):
                continue
            if known & {ast.unparse(base).rpartition(".")[2] for base in node.bases}:
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                yield LightningPart("callback", node.name, module, summary)


def _sources() -> Iterator[tuple[str, Path]]:
    """Modules that hold callbacks: vidiff's, and of plugins.

    Those of a package are its ``callbacks.py`` and what is in its folder ``training``.
    """
    for file in (Path(__file__).parents[1] / "training" / "callbacks").glob("*.py"):
        yield f"vidiff.training.callbacks.{file.stem}", file
    for package in sorted({component.package for component in all_components()} - {"vidiff"}):
        module = sys.modules.get(package)
        file = Path(getattr(module, "__file__", None) or "")
        if not hasattr(module, "__path__"):
            if file.is_file():
                yield package, file
            continue
        for inside in (file.with_name("callbacks.py"), *(file.parent / "training").glob("*.py")):
            if inside.is_file():
                place = inside.relative_to(file.parent).with_suffix("")
                yield ".".join([package, *place.parts]), inside
