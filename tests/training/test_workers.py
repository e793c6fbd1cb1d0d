"""Dataloader workers: how many ``auto`` gives, how long they live, and that they change nothing."""

from __future__ import annotations

import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.environments import SLURMEnvironment
from test_data_module import Numbers, Recorder, fit, module, take

from vidiff.training import workers
from vidiff.training.workers import Workers, choose_workers
from vidiff.types import LatentBatch, Signal, VideoBatch, VideoSample


def trainer_on(device: str, num_devices: int = 1, environment: Any = None) -> Any:
    strategy = SimpleNamespace(root_device=torch.device(device), cluster_environment=environment)
    return SimpleNamespace(strategy=strategy, num_devices=num_devices)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(cores: int, shared: float = math.inf) -> None:
        monkeypatch.setattr(workers, "available_cores", lambda: cores)
        monkeypatch.setattr(workers, "shared_memory", lambda: shared)

    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    return make


@pytest.mark.parametrize(
    ("cores", "num_devices", "expected"),
    [(1, 1, 1), (2, 1, 1), (6, 1, 5), (64, 1, 8), (64, 8, 7), (16, 8, 1), (4, 8, 1)],
)
def test_auto_keeps_a_core_for_training_in_each_process_of_the_node(
    machine: Any, cores: int, num_devices: int, expected: int
) -> None:
    machine(cores)
    assert choose_workers("auto", trainer_on("cuda", num_devices)).number == expected


def test_auto_is_none_where_training_needs_the_cores_or_shared_memory_is_small(
    machine: Any,
) -> None:
    machine(64)
    assert choose_workers("auto", trainer_on("cpu")).number == 0
    assert choose_workers("auto", None).number == 0
    machine(64, shared=64 * 2**20)
    small = choose_workers("auto", trainer_on("cuda"))
    assert small.number == 0
    assert "--shm-size" in small.why
    assert choose_workers(3, trainer_on("cpu")) == Workers(3, "set")


def test_a_task_of_slurm_has_its_own_cores(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(16)  # of each task, which Slurm binds
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    slurm = object.__new__(SLURMEnvironment)
    assert choose_workers("auto", trainer_on("cuda", 8, slurm)).number == 5
    assert choose_workers("auto", trainer_on("cuda", 8)).number == 1  # torchrun within one task


class Pids(Numbers):
    """Clips whose ids name the process that made them."""

    def __getitem__(self, index: int) -> VideoSample:
        sample = super().__getitem__(index)
        return VideoSample(sample.pixels, sample.caption, f"{os.getpid()} {sample.id}")


def pids(batches: list[list[str]]) -> set[int]:
    return {int(name.split()[0]) for batch in batches for name in batch}


def test_workers_stay_alive_over_epochs_and_validations_and_end_with_training() -> None:
    recorder = fit(module(Pids, num_workers=2, val_length=9), max_steps=-1, max_epochs=3)
    assert len(recorder.validated) == 9
    assert len(pids(recorder.trained)) == len(pids(recorder.validated)) == 2
    for pid in pids(recorder.trained) | pids(recorder.validated):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_validations_that_are_cut_short_begin_at_the_first_clip_again() -> None:
    settings = {"max_steps": -1, "max_epochs": 2, "limit_val_batches": 1, "num_sanity_val_steps": 1}
    validated = fit(module(num_workers=2, val_length=40), **settings).validated
    assert validated == 3 * [["0", "1", "2", "3"]]


def test_a_run_goes_on_with_any_other_number_of_workers(tmp_path: Path) -> None:
    whole = fit(module(num_workers=0)).trained
    trained: list[list[str]] = []
    checkpoint = None
    for number, stop in ((0, 4), (3, 9), (1, 14)):
        every = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
        data = module(num_workers=number)
        run = fit(data, Recorder(), callbacks=[every], max_steps=stop, ckpt_path=checkpoint)
        trained += run.trained
        checkpoint = str(tmp_path / f"step={stop}.ckpt")
    assert trained == whole


def test_waiting_for_batches_is_counted() -> None:
    data = module(num_workers=0)
    assert data.seconds_waited == 0
    take(data, 3)
    assert data.seconds_waited > 0


def test_everything_of_a_batch_that_goes_to_the_device_is_pinned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pinned: list[int] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: pinned.append(id(x)) or x)

    def signal() -> Signal:
        real, channels = torch.ones(1, 1).bool(), torch.zeros(1, 1, 1, 1, 1)
        return Signal(torch.zeros(1, 2), torch.zeros(1, 1, 2), real, channels)

    signals, empty = {"text": signal()}, {"text": signal()}
    batch = LatentBatch(torch.zeros(1, 1, 1, 1, 1), (1, 8, 8), [""], ["a"], signals, empty)
    batch.pin_memory()
    tensors = [batch.latents, *signals["text"]._forms(), *empty["text"]._forms()]
    assert sorted(pinned) == sorted(map(id, tensors))
    assert len(pinned) == 9
    LatentBatch(batch.latents, (1, 8, 8), [""], ["a"]).pin_memory()
    pinned.clear()
    pixels, label = torch.zeros(1, 3, 1, 8, 8), torch.zeros(1)
    VideoBatch(pixels, [""], ["a"], {"label": label, "scene": ["x"]}).pin_memory()
    assert sorted(pinned) == sorted([id(pixels), id(label)])
