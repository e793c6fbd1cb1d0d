"""The progress bar, the table of parts, and what is printed while bars are on the screen."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from processes import run as run_python
from run_tiny import make_data, make_task
from test_tasks import Each

from vidiff.training.callbacks import RunProgressBar, SaveCheckpoint
from vidiff.training.callbacks.parts_table import parts_table
from vidiff.training.callbacks.progress import AboveBars, lines_above_bars
from vidiff.training.trainer import VidiffTrainer


def fit(folder: Path, callbacks: list[Any], steps: int, ckpt_path: Path | None = None) -> None:
    run = VidiffTrainer(
        accelerator="cpu", logger=False, max_steps=steps, default_root_dir=folder,
        callbacks=[*callbacks, SaveCheckpoint()], limit_val_batches=0, enable_model_summary=False,
    )  # fmt: skip
    run.fit(make_task(), make_data(), ckpt_path=ckpt_path, weights_only=True)


def test_the_bar_counts_the_steps_of_the_run_and_begins_at_the_resumed_one(tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    bar = RunProgressBar()

    def look(run: Any, task: Any) -> None:
        live = bar.train_progress_bar
        seen.append((live.initial, live.n, live.total))

    class Start(Each):
        def on_train_start(self, trainer: Any, task: Any) -> None:
            look(trainer, task)

    fit(tmp_path, [bar, Start(look)], 6)  # an epoch has four
    assert seen[0] == (0, 0, 6)
    assert bar.train_progress_bar.n == 6
    seen.clear()
    bar = RunProgressBar()
    fit(tmp_path, [bar, Start(look)], 8, tmp_path / "checkpoints" / "last.ckpt")
    assert seen[0] == (6, 6, 8)  # nothing of it counts in the rate
    assert bar.train_progress_bar.n == bar.train_progress_bar.total == 8


def test_sampling_counts_clips(tmp_path: Path) -> None:
    fit(tmp_path, [], 1)
    seen: list[tuple[int, int]] = []

    class Bar(RunProgressBar):
        def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
            super().on_predict_batch_end(*args, **kwargs)
            seen.append((self.predict_progress_bar.n, self.predict_progress_bar.total))

    run = VidiffTrainer(
        accelerator="cpu", logger=False, callbacks=[Bar()], default_root_dir=tmp_path
    )
    run.sample(
        make_task(), prompts="a;b;c;d;e", output=str(tmp_path / "samples"), num_steps=1,
        ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"), batch_size=2,
    )  # fmt: skip
    assert seen == [(2, 5), (4, 5), (5, 5)]


@contextmanager
def terminal() -> Iterator[io.StringIO]:
    """One file for both streams; no fixture, as pytest puts its own there when a test begins."""
    both = io.StringIO()
    with redirect_stdout(both), redirect_stderr(both):
        yield both


def test_whatever_is_printed_has_lines_of_its_own() -> None:
    with terminal() as screen:
        logger, handler = logging.getLogger("vidiff.test_progress"), logging.StreamHandler(screen)
        logger.addHandler(handler)
        bar = Tqdm(total=3, file=screen, desc="Training")
        with lines_above_bars():
            bar.update(1)
            print("printed", 1)
            sys.stderr.write("begun, ")
            sys.stderr.write("ended\n")
            logger.warning("logged")
            bar.update(1)
            sys.stderr.write("left open")
        assert sys.stdout is sys.stderr is handler.stream is screen
        logger.removeHandler(handler)
        bar.close()
    lines = [line.split("\r")[-1] for line in screen.getvalue().split("\n")]
    assert {"printed 1", "begun, ended", "logged"} <= set(lines)
    assert "left open" in screen.getvalue()
    assert "2/3" in lines[-2]


def test_workers_write_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    bar = Tqdm(total=3, file=screen)
    stream, before = AboveBars(screen), screen.getvalue()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    stream.write("from a worker\n")
    assert screen.getvalue() == before + "from a worker\n"
    bar.close()


def test_an_error_is_not_glued_to_the_bar(tmp_path: Path) -> None:
    script = (
        "import os, sys, tests_path\n"
        "os.dup2(1, 2)\n"
        "from test_progress_bars import *\n"
        "from vidiff.training.callbacks.progress import live_bars\n"
        "def fail(run, task):\n"
        "    print('half a line', end='')\n"
        "    raise ValueError('out of luck')\n"
        "try:\n"
        "    fit(Path(sys.argv[1]), [Each(fail)], 6)\n"
        "except ValueError as error:\n"
        "    print(f'vidiff: error: {error}', file=sys.stderr)\n"
        "    assert not live_bars()\n"
    ).replace(", tests_path", f"; sys.path.insert(0, {str(Path(__file__).parent)!r})")
    done = run_python("-c", script, tmp_path)
    lines = done.stdout.split("\n")
    assert "vidiff: error: out of luck" in lines, done.stdout
    assert any("Training" in line for line in lines)
    assert done.returncode == 0, done.stdout


def test_the_table_counts_the_average_no_second_time() -> None:
    task = make_task()
    task.configure_model()
    task.autoencoder.scale = torch.nn.Parameter(torch.zeros(1000), requires_grad=False)
    head, *parts, together = (line.split() for line in parts_table(task).splitlines())
    assert head == ["part", "class", "parameters", "trained"]
    assert [part[:2] for part in parts] == [
        ["autoencoder", "Identity"], ["conditions.text", "Words"], ["denoiser", "DiT"],
    ]  # fmt: skip
    assert parts[0][2:] == ["1", "k", "0"]
    count = sum(p.numel() for part in task.trained_parts().values() for p in part.parameters())
    assert together[-2:] == [f"{count / 1000:.4g}", "k"]
    assert not any("FLOPs" in word for word in head)


def test_the_table_is_the_only_one() -> None:
    run = VidiffTrainer(accelerator="cpu", logger=False)
    assert sum(isinstance(callback, ModelSummary) for callback in run.callbacks) == 1
