"""What does `vidiff ablate` cost beside the training itself? Seconds a cell at 1, 100, 1,000 cells.

    python experiments/benchmarks/ablation.py            # [--cells 1 100 1000] [--num_at_once 2]

Every cell is a model of its own: nothing that was checked for one can be used for another. Their
commands are replaced by a copy of what a run leaves behind, which takes no time to speak of; what
is left is the runner's: expansion, checks (parsing, building on the meta device, counting),
launching (a process that keeps the books of the run), and the report. Imports of what builds models
take their time once.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from vidiff.plugins import load_all

HERE = Path(__file__).parent
BASE = HERE.parent / "ablations" / "base.yaml"
VALUES: dict[str, list[Any]] = {
    "model.denoiser.width": [16, 24, 32, 40, 48, 56, 64, 72, 80, 88],
    "model.denoiser.depth": [1, 2, 3, 4, 5],
    "model.denoiser.conditioning": ["adaln_zero", "adaln", "cross_attention", "in_context"],
    "model.prediction": ["sample", "flow", "velocity", "epsilon", "score"],
}
TIMES: dict[str, float] = {}


def main() -> None:
    """Measure and print a line for each number of cells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--num_at_once", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    load_all([])
    with timed("imports, once"):
        from vidiff.ablation.check.checker import Checker

        Checker()
    print(f"{'cells':>6}  " + "  ".join(f"{name:>12}" for name in ("imports", *STAGES, "a cell")))
    once = TIMES["imports, once"]
    for count in args.cells:
        TIMES.clear()
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), count, args.num_at_once)
        spent = [TIMES[stage] for stage in STAGES]
        row = [once, *spent, sum(spent) / count]
        print(f"{count:>6}  " + "  ".join(f"{seconds:>10.3f} s" for seconds in row), flush=True)


STAGES = ("expansion", "checks", "launch", "report")


def measure(folder: Path, count: int, num_at_once: int) -> None:
    """One ablation from its file to its report, with commands that only copy."""
    from vidiff.ablation.ask.cells import Run
    from vidiff.ablation.ask.file import read_ablation
    from vidiff.ablation.check.preparation import Preparation
    from vidiff.ablation.judge.collect import collect
    from vidiff.ablation.report.content import Content
    from vidiff.ablation.report.writers import CSV, HTML, Markdown
    from vidiff.ablation.run.folder import RunFolder
    from vidiff.ablation.run.progress import Progress
    from vidiff.ablation.run.runner import Runner

    path = write_file(folder, count)
    with timed("expansion"):
        preparation = Preparation(read_ablation(path))
        runs, folders = preparation.work()
    assert len(runs) >= count, f"{len(runs)} cells"
    runs = runs[:count]
    with timed("checks"):
        errors = preparation.check(runs, folders)
    assert not errors, errors[0]
    template = folder / "template"
    stand_in: dict[str, RunFolder] = {}
    for run in runs:
        made = folders[run.id]
        phases = [
            replace(phase, words=("/bin/cp", "-r", str(template / phase.name), str(phase.folder)))
            for phase in made.phases
        ]
        stand_in[run.id] = RunFolder(made.path, phases)
        stand_in[run.id].prepare(run.config, run.name)
    make_template(template, runs[0])
    progress = Progress(count, 0, num_at_once, write=lambda text: None)
    with timed("launch"):
        assert Runner(stand_in, preparation.ablation.launcher, progress).run(runs)
    with timed("report"):
        results = collect(preparation.ablation, path, runs, folders)
        for writer in (CSV(), Markdown(), HTML()):
            writer.render(Content(results, preparation.output))
    assert isinstance(runs[0], Run)


def write_file(folder: Path, count: int) -> Path:
    """An ablation file of at least so many cells, each of another model."""
    axes: dict[str, list[Any]] = {}
    for key, values in VALUES.items():
        have = math.prod(map(len, axes.values()))
        axes[key] = values[: max(2, min(len(values), math.ceil(count / have)))]
        if math.prod(map(len, axes.values())) >= count:
            break
    path = folder / "ablation.yaml"
    path.write_text(yaml.safe_dump({
        "question": "What does it cost?", "base": str(BASE), "axes": axes, "seeds": [0],
        "samples": {"prompts": "a red square moves left; a blue cross stays still"},
        "evaluation": {"metrics": "prompt_accuracy", "protocol": "whole"},
        "metrics": {"prompt_accuracy": "higher", "val/loss": "lower"},
        "output": str(folder / "out"),
        "launcher": {"class_path": "local", "init_args": {"num_at_once": os.cpu_count() or 1}},
    }, sort_keys=False))  # fmt: skip
    return path


def make_template(template: Path, run: Any) -> None:
    """What the commands of a run leave behind: made up, of the size of the real thing."""
    from torch.utils.tensorboard import SummaryWriter

    from vidiff.evaluation_report import (
        Group,
        Marks,
        MetricInfo,
        ProtocolInfo,
        Report,
        Score,
        ScoreInfo,
        Video,
        write_report,
    )  # fmt: skip

    train = template / "fit"
    with SummaryWriter(str(train)) as writer:
        for step in range(20, 801, 20):
            writer.add_scalar("train/loss", 1 / step, step)
        for step in range(200, 801, 200):
            writer.add_scalar("val/loss", 1 / step, step)
    (train / "run.json").write_text(json.dumps({
        "status": "finished", "step": 800, "num_steps": 800, "training_seconds": 100.0,
        "seconds_per_step": 0.125, "peak_memory_bytes": {"process": 10**9},
        "config_sha256": "0" * 64, "versions": {}, "source": {}, "devices": {},
    }))  # fmt: skip
    (template / "sample").mkdir()
    prompts = ["a red square moves left", "a blue cross stays still"]
    name = "prompt_accuracy"
    videos = [
        Video(f"{k}.mp4", f"{k}.mp4", k, prompt, found={name: {name: bool(k), "right": bool(k)}})
        for k, prompt in enumerate(prompts)
    ]
    group = Group(len(videos), scores={name: [Score(name, 0.5)]}, videos=videos)
    metric = MetricInfo(
        "clips", [ScoreInfo(name, "share", (0, 1))], summary="Made up.", marks=Marks("right")
    )
    write_report(
        template / "evaluate" / "report.json",
        Report({"run": group}, {name: metric}, ProtocolInfo("whole")),
    )


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Keep how long a stage takes."""
    began = time.perf_counter()
    yield
    TIMES[stage] = time.perf_counter() - began


if __name__ == "__main__":
    main()
