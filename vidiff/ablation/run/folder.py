"""The folder of a run: its config, what was done of it, and who works on it.

::

    runs/3f2a…/
      config.yaml          the whole config: `vidiff fit -c` takes it by itself
      job.json             the commands of the run, in order
      state.json           which of them are done, and what failed
      costs.json           parameters and FLOPs, counted before
      log.txt              what the commands printed
      train/               the run folder of `vidiff fit`
      samples-…/           of `vidiff sample`, one for each way of sampling
      evaluation-…/        of `vidiff evaluate`, likewise
      lock                 held while a process works on the run
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.cells import ROOT, Run
from vidiff.ablation.ask.nodes import Config
from vidiff.captions import prompt_file
from vidiff.files import read_json, read_text, write_json, write_text

CONFIG, JOB, STATE, COSTS = "config.yaml", "job.json", "state.json", "costs.json"
LOG, LOCK = "log.txt", "lock"


@dataclass(frozen=True)
class Phase:
    """A command of a run, ``fit``, ``sample`` or ``evaluate``; done again where ``key`` changes."""

    name: str
    words: tuple[str, ...]
    key: str
    folder: Path


@dataclass(frozen=True)
class Status:
    """How far a run is: by key the seconds that each phase took, the last error, all seconds."""

    done: Mapping[str, float]
    attempts: int = 0
    error: str = ""
    seconds: float = 0.0


class RunFolder:
    """The folder of a run, which need not exist, and what is to be done in it."""

    def __init__(self, path: Path, phases: Sequence[Phase] = (), train: Path | None = None) -> None:
        self.path, self.phases, self.train = path, list(phases), train or path / "train"

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """The folder as ``prepare`` left it; a ``ValueError`` if there is no job in it."""
        phases = [
            Phase(p["name"], tuple(p["words"]), p["key"], Path(p["folder"]))
            for p in read_json(path / JOB)["phases"]
        ]
        return cls(path, phases)

    def folder_of(self, phase: str) -> Path | None:
        """Where a phase writes; None if the run has no such phase."""
        return next((each.folder for each in self.phases if each.name == phase), None)

    def prepare(self, config: Config, comment: str) -> None:
        """Write the config and the commands, unless they are there."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / CONFIG).exists():
            import yaml  # here, as every worker imports this module and none needs it

            text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
            write_text(self.path / CONFIG, f"# {comment}\n{text}")
        if not self.is_prepared():
            write_json(self.path / JOB, self._job())

    def is_prepared(self) -> bool:
        """Whether a worker would find the phases of now in the folder."""
        path = self.path / JOB
        return path.exists() and read_json(path) == self._job()

    def _job(self) -> Any:
        phases = [
            {"name": p.name, "words": p.words, "key": p.key, "folder": str(p.folder)}
            for p in self.phases
        ]
        return json.loads(json.dumps({"phases": phases}))

    def status(self) -> Status:
        """What was done so far, by whichever process."""
        return Status(**({"done": {}} | read_or_empty(self.path / STATE)))

    def is_done(self) -> bool:
        """Whether every phase is done."""
        return not self.left()

    def left(self, status: Status | None = None) -> list[Phase]:
        """The phases that are not done, in order."""
        done = (status or self.status()).done
        return [phase for phase in self.phases if phase.key not in done]

    def record(self, status: Status) -> None:
        """Keep a status; only who holds the lock may."""
        write_json(self.path / STATE, {**vars(status), "done": dict(status.done)})

    def claim(self, patience: float = 1.0) -> int | None:
        """Take the lock: a file descriptor, or None if another process works on the run.

        The kernel releases it with the last process that has the file open, however that ends; a
        training that outlives its worker inherits it, and keeps others out. Tried for ``patience``
        seconds, as another process may just be looking.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            except BlockingIOError:
                if time.monotonic() > end:
                    os.close(handle)
                    return None
                time.sleep(0.05)

    def is_busy(self) -> bool:
        """Whether a process works on the run."""
        try:
            handle = os.open(self.path / LOCK, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(handle)


def make_folder(
    run: Run,
    store: Path,
    samples: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> tuple[RunFolder, Config]:
    """The folder of a run in ``store``, and the run's config with its place in it."""
    path = store / run.id
    config = nodes.replace(run.config, {ROOT: str(path / "train")})
    program = (sys.executable, "-P", "-m", "vidiff")  # not what lies in the working folder
    file = str(path / CONFIG)
    fit = (*program, "fit", "-c", file, "--ckpt_path", "auto")
    phases = [Phase("fit", fit, f"fit-{run.id}", path / "train")]
    if samples is not None:
        # What the prompts are, not where they are kept.
        key = _key({**samples, "prompts": prompts_of(str(samples["prompts"]))})
        folder = path / f"samples-{key}"
        words = (*program, "sample", "-c", file, "--ckpt_path", "last", "--output", str(folder))
        phases.append(Phase("sample", (*words, *options(samples)), f"sample-{key}", folder))
        judged = _key(evaluation or {}, key)
        report = path / f"evaluation-{judged}"
        judge = (
            *program, "evaluate", "--generated", f"run={folder}",
            "-c", str(path / "train" / CONFIG), "--output", str(report), "--overwrite",
        )  # fmt: skip
        phases.append(
            Phase("evaluate", (*judge, *options(evaluation or {})), f"evaluate-{judged}", report)
        )
    return RunFolder(path, phases), config


def read_or_empty(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if it is missing, or being replaced by hand."""
    try:
        return dict(read_json(path))
    except ValueError:
        return {}


def options(settings: Mapping[str, Any]) -> list[str]:
    """Settings as words of a command: ``{fvd.num_steps: 3}`` is ``--fvd.num_steps=3``."""
    return [
        f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in settings.items()
    ]


def prompts_of(prompts: str) -> str:
    """The text of the prompts, so that another text in a file of the same name is seen."""
    try:
        path = prompt_file(prompts)
        return prompts if path is None else read_text(path)
    except ValueError as error:
        raise ValueError(f"samples.prompts: {error}") from error


def _key(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
