"""What is logged with the loss, how often, at what cost, and the hint about workers."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from run_tiny import make_data, make_task
from test_tasks import Each, trainer
from torch.utils._python_dispatch import TorchDispatchMode

from vidiff.pages.runs import read_curves
from vidiff.training.callbacks import StepLog, step_log
from vidiff.training.callbacks.step_log import hint, log_interval
from vidiff.training.data import VideoDataModule
from vidiff.training.trainer import VidiffTrainer


def test_loss_rate_norm_and_waiting_are_logged_together(tmp_path: Path) -> None:
    norms: list[float] = []

    class Norm(Callback):
        def on_before_optimizer_step(self, trainer: Any, task: Any, optimizer: Any) -> None:
            squares = [p.grad.square().sum() for p in task.parameters() if p.grad is not None]
            norms.append(float(torch.stack(squares).sum().sqrt()))

    run = trainer(tmp_path, max_steps=8, callbacks=[Norm()], gradient_clip_val=0.01)
    run.fit(task := make_task(), make_data())
    curves = read_curves(tmp_path)
    steps = [1, 3, 5, 7]
    assert [step for step, _ in curves["train/loss"]] == steps
    assert curves["optimizer/gradient_norm"] == [
        (step, pytest.approx(norms[step], rel=1e-4)) for step in steps  # before clipping
    ]  # fmt: skip
    groups = run.optimizers[0].param_groups
    peaks = dict.fromkeys(group["initial_lr"] for group in groups)
    schedule = task.lr_schedule()
    for name, peak in zip(("learning_rate", "learning_rate_2"), peaks, strict=True):
        expected = [(step, pytest.approx(peak * schedule(step + 1))) for step in steps]
        assert curves[f"optimizer/{name}"] == expected
    waiting = [share for _, share in curves["throughput/waiting_for_data"]]
    assert len(waiting) == 3  # the first stretch warms up
    assert all(0 < share < 1 for share in waiting)


@pytest.mark.parametrize(
    ("num_steps", "interval"),
    [(1, 1), (99, 1), (250, 2), (1000, 10), (5000, 50), (10**6, 50), (float("inf"), 50)],
)
def test_short_runs_are_logged_more_often(num_steps: float, interval: int) -> None:
    assert log_interval(num_steps) == interval


@pytest.mark.parametrize(("asked", "expected"), [(None, 1), (3, 3)])
def test_the_interval_fits_the_run_unless_it_is_given(
    tmp_path: Path, asked: int | None, expected: int
) -> None:
    run = VidiffTrainer(
        accelerator="cpu", default_root_dir=tmp_path, logger=False, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=asked, max_epochs=1, limit_val_batches=0,
        num_sanity_val_steps=0,
    )  # fmt: skip
    run.fit(make_task(), make_data())
    assert run.log_every_n_steps == expected
    assert len(read_curves(tmp_path)["train/loss"]) == 4 // expected


class Operations(TorchDispatchMode):
    """Counts what tensors do."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_steps_between_two_logs_cost_nothing_and_none_waits_for_the_device(tmp_path: Path) -> None:
    found: dict[int, list[str]] = {}

    class Watched(StepLog):
        def _counted(self, step: int, hook: Any, *args: Any) -> None:
            with Operations() as operations:
                hook(*args)
            found.setdefault(step, []).extend(operations.names)

        def on_before_optimizer_step(self, trainer: Any, *args: Any) -> None:
            hook = super().on_before_optimizer_step
            self._counted(trainer.global_step + 1, hook, trainer, *args)

        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            self._counted(trainer.global_step, super().on_train_batch_end, trainer, *args)

    trainer(tmp_path, callbacks=[Watched()]).fit(make_task(), make_data())
    assert {step for step, names in found.items() if names} == {2, 4, 6}
    assert not any("_local_scalar_dense" in name for names in found.values() for name in names)


@pytest.mark.parametrize(
    ("share", "workers", "cores", "advice"),
    [
        (0.8, 0, 2, "try --data.num_workers 1"),  # the only other core
        (0.8, 0, 64, "try --data.num_workers 4"),  # four batches in the time of a step
        (0.5, 4, 64, "try --data.num_workers 8"),
        (0.3, 7, 8, "encode them once"),
        (0.9, 0, 1, "encode them once"),
    ],
)
def test_the_hint_names_what_would_keep_up(
    share: float, workers: int, cores: int, advice: str
) -> None:
    said = hint(share, workers, cores)
    assert advice in said
    assert f"{100 * share:.0f} % of the time" in said


def watched(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, *, waiting: float
) -> list[str]:
    """Steps of one second each, a part of it waiting for data; what is said meanwhile."""
    clock = SimpleNamespace(now=0.0, trained=0.0)
    monkeypatch.setattr(step_log, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(step_log, "available_cores", lambda: 3)
    waited = property(lambda data: waiting * clock.trained)
    monkeypatch.setattr(VideoDataModule, "seconds_waited", waited)

    class Validate(Callback):
        def on_validation_epoch_end(self, *args: Any) -> None:
            clock.now += 1000  # counts nowhere

    def second(run: Any, task: Any) -> None:
        clock.now, clock.trained = clock.now + 1, clock.trained + 1

    callbacks = [Each(second), Validate()]
    settings = {"max_steps": 40, "callbacks": callbacks, "limit_val_batches": 1}
    trainer(folder, **settings, val_check_interval=0.5).fit(make_task(), make_data())
    shares = [share for _, share in read_curves(folder)["throughput/waiting_for_data"]]
    assert shares == [pytest.approx(waiting)] * len(shares)
    caplog.set_level(logging.INFO)
    return [r.getMessage() for r in caplog.records if r.name == step_log.__name__]


def test_it_is_said_once_where_data_are_the_brake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    (said,) = watched(tmp_path, monkeypatch, caplog, waiting=0.75)
    assert said == (
        "training waits for data 75 % of the time with 0 workers: try --data.num_workers 2"
    )


def test_nothing_is_said_where_they_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    assert watched(tmp_path, monkeypatch, caplog, waiting=0.1) == []
