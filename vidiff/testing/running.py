"""Conformance of datasets, optimizers, launchers, commands and checks of the machine."""

from __future__ import annotations

import argparse
import inspect
import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from vidiff.ablation.launchers import Handle, Job, Launcher
from vidiff.commands.base import Command, LightCommand
from vidiff.config_nodes import documented
from vidiff.data import VideoDataset, collate
from vidiff.doctor import Check
from vidiff.optimizers import OptimizerRecipe
from vidiff.testing.common import checks, refuses
from vidiff.types import Sample, VideoSample


def _content(sample: Sample) -> Tensor:
    return sample.pixels if isinstance(sample, VideoSample) else sample.latents


@checks("dataset")
def _dataset(make: Callable[..., VideoDataset]) -> None:
    dataset = make(split="train")
    assert len(dataset) > 0
    samples = dataset.__getitems__([0, len(dataset) - 1])
    for sample in samples:
        content = _content(sample)
        assert content.dtype == torch.float32
        assert content.ndim == 4, f"a clip must be (c, f, h, w), got {tuple(content.shape)}"
        if isinstance(sample, VideoSample):
            assert content.shape[0] == 3
            assert content.abs().max() <= 1, "pixels lie in [-1, 1]"
        else:
            assert set(sample.signals) == set(sample.empty), "signals and empty go together"
        assert isinstance(sample.caption, str)
    again = pickle.loads(pickle.dumps(dataset))[0]  # as a worker process gets it
    is_same = torch.equal(_content(again), _content(samples[0])) and again.id == samples[0].id
    assert is_same, "the same index must give the same clip"
    assert len(collate(samples)) == len(samples)
    assert isinstance(dataset.fingerprint(), str)
    assert isinstance(dataset.problems(), dict)
    make(split="val"), make(split="test")


class _Net(nn.Module):
    """A network with blocks in a list, as transformers have them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 1)
        self.blocks = nn.ModuleList([nn.Linear(8, 8)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x).tanh()
        return self.last(x)


@checks("optimizer")
def _optimizer(make: Callable[..., OptimizerRecipe]) -> None:
    model = _Net()
    optimizer = make().build([model])
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(map(id, model.parameters())), "each parameter once, none twice"
    x = torch.randn(64, 4)
    losses = []
    for _ in range(20):
        losses.append((model(x) - x.sum(1, keepdim=True)).square().mean())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0], f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}"
    frozen = nn.Linear(2, 2).requires_grad_(False)
    assert refuses(lambda: make().build([frozen])), "nothing to train must raise ValueError"


LAUNCH_SECONDS = 300.0
"""That a launcher under test may take for a small job."""


@checks("launcher")
def _launcher(make: Callable[[], Launcher]) -> None:
    launcher = make()
    assert launcher.num_at_once >= 1, "a launcher must run one job at least"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()

        def start(name: str, code: str) -> Handle:
            words, env = (sys.executable, "-c", code), {"VIDIFF_TEST_WORD": "given"}
            return launcher.start(Job(name, words, place / name, place, env))

        def wait(handle: Handle, wanted: str) -> None:
            end = time.monotonic() + LAUNCH_SECONDS
            while (state := handle.state()) != wanted:
                assert state in ("waiting", "running"), f"the job is {state}, not {wanted}"
                assert time.monotonic() < end, f"the job is {state} after {LAUNCH_SECONDS} s"
                time.sleep(0.05)

        try:
            handle = start(
                "well", "import os; open('said', 'w').write(os.environ['VIDIFF_TEST_WORD'])"
            )
            wait(handle, "succeeded")
            assert (place / "said").read_text() == "given", "a job runs in its cwd, with its env"
            handle.stop()
            assert handle.state() == "succeeded", "stopping what has ended does nothing"
            wait(start("ill", "raise SystemExit(3)"), "failed")
            handle = start("endless", "import time; print('on', flush=True); time.sleep(600)")
            wait(handle, "running")
            handle.stop()
            wait(handle, "failed")
        finally:
            launcher.close()


@checks("command")
def _command(make: Callable[..., Command]) -> None:
    command = make()
    if isinstance(command, LightCommand):
        command.add_arguments(argparse.ArgumentParser())
    elif work := getattr(command, "work", None):
        options = inspect.signature(work).parameters.keys() - {"trainer", "model", "datamodule"}
        missing = options - documented(work).keys()
        assert not missing, f"no line under Args: of work for {missing}"


@checks("check")
def _check(make: Callable[..., Check]) -> None:
    found = make().look()
    assert found, "a check prints at least one line"
    json.dumps([asdict(one) for one in found])
