"""Runs whose commands are small scripts: what they do is seen in files, and takes no time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidiff.ablation.ask.cells import Cell, Run
from vidiff.ablation.run.folder import Phase, RunFolder
from vidiff.ablation.run.progress import Progress
from vidiff.ablation.run.runner import Runner

COUNT = """
import pathlib, sys, time
file = pathlib.Path(sys.argv[1])
with file.open("a") as lines: lines.write("x")
"""
"""Adds a letter to a file: how often it ran is how long the file is."""


def toy_run(number: int) -> Run:
    return Run(Cell({"toy": str(number)}, {}, number == 0), 0, {"trainer": {}}, f"{number:012d}")


def toy_folder(output: Path, run: Run, *scripts: str) -> RunFolder:
    """A folder whose phases run scripts; each gets the path of a file as its argument."""
    path = output / "runs" / run.id
    phases = [
        Phase(f"phase{k}", (sys.executable, "-c", script, str(path / f"count{k}")), f"key{k}", path)
        for k, script in enumerate(scripts)
    ]
    folder = RunFolder(path, phases)
    folder.prepare(run.config, run.name)
    return folder


def counts(folder: RunFolder) -> list[int]:
    """How often each phase ran."""
    files = [folder.path / f"count{k}" for k in range(len(folder.phases))]
    return [len(file.read_text()) if file.exists() else 0 for file in files]


def toy_runner(
    folders: Sequence[tuple[Run, RunFolder]], launcher: Any, seen: list[str], **options: Any
) -> Runner:
    progress = Progress(len(folders), 0, launcher.num_at_once, write=seen.append)
    return Runner({run.id: folder for run, folder in folders}, launcher, progress, **options)
