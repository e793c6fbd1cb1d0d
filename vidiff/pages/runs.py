"""What a run's folder says of the run."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vidiff.files import read_json
from vidiff.yaml_files import load_yaml, read_text

SCALARS = "scalars.jsonl"
"""The run's own record of what was logged: a line for each time, with its step."""

Curve = list[tuple[int, float]]  # (step, value) pairs


@dataclass(frozen=True)
class Run:
    """A run: its name, ``run.json``, its config as text and as data, and its scalars by tag."""

    name: str
    record: dict[str, Any]
    config_text: str
    config: Any
    curves: dict[str, Curve]

    @property
    def training_seconds(self) -> float | None:
        """As the run's record says, if it does."""
        return self.record.get("training_seconds")

    @property
    def validates_on_training(self) -> bool:
        """Whether the run's record says that validation was on the training clips."""
        return (self.record.get("data") or {}).get("validation") == "training clips"

    @property
    def num_parameters(self) -> int | None:
        """How many parameters were trained, as the run's record says, if it does."""
        return (self.record.get("parameters") or {}).get("trained")


def read_run(folder: Path) -> Run:
    """Read a run's folder, which may lack parts; a ``ValueError`` if it is missing or no run's."""
    if not folder.is_dir():
        raise ValueError(f"--run {folder} is no folder")
    record_path, config_path = folder / "run.json", folder / "config.yaml"
    record = read_json(record_path) if record_path.is_file() else {}
    if not isinstance(record, dict):
        raise ValueError(f"{record_path} is not a run's record; give a folder that `fit` wrote")
    config_text = read_text(config_path) if config_path.is_file() else ""
    curves = read_curves(folder)
    if not (record or config_text or curves):
        raise ValueError(f"--run {folder} holds no run: no run.json, config.yaml or event file")
    config = load_yaml(config_text, config_path) if config_text else record.get("config")
    if config and not config_text:
        config_text = yaml.safe_dump(config, sort_keys=False)
    return Run(folder.resolve().name, record, config_text, config, curves)


def read_curves(folder: Path) -> dict[str, Curve]:
    """The scalars that a run logged, by tag and in order of steps, from ``scalars.jsonl``.

    A run that began before there was such a file has TensorBoard's event files as well. Where a
    step was logged twice, as in a run that was resumed, the later value counts.
    """
    lines = _read_lines(folder / SCALARS)
    points: dict[str, dict[int, float]] = {}
    if not lines or lines[0].get("from_step"):
        points = _read_events(folder)
    for line in lines:
        for tag, value in line.items():
            if tag not in ("step", "from_step"):
                points.setdefault(tag, {})[line["step"]] = value
    return {tag: sorted(found.items()) for tag, found in points.items()}


def clip_scores_file(folder: Path, process: int | str) -> Path:
    """Where a process keeps what the last validation measured of each of its clips."""
    return folder / f"clip_scores-{process}.jsonl"


def read_clip_scores(folder: Path) -> dict[str, dict[str, float]]:
    """What the last validation of a run measured of each clip: by name, by the clip's id."""
    scores: dict[str, dict[str, float]] = {}
    for path in sorted(folder.glob(clip_scores_file(folder, "*").name)):
        for line in _read_lines(path):
            clip = str(line.pop("id", ""))
            for name, value in line.items():
                scores.setdefault(name, {})[clip] = value
    return scores


def _read_lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with suppress(ValueError):  # cut off when the run was killed
            lines.append(json.loads(line))
    return lines


def _read_events(folder: Path) -> dict[str, dict[int, float]]:
    files = sorted(folder.rglob("events.out.tfevents.*"), key=lambda path: path.stat().st_mtime)
    if not files:
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    points: dict[str, dict[int, float]] = {}
    for directory in dict.fromkeys(path.parent for path in files):
        events = EventAccumulator(str(directory), size_guidance={"scalars": 0, "images": 1})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found = points.setdefault(tag, {})
            found.update((event.step, event.value) for event in events.Scalars(tag))
    return points
