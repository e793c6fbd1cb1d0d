"""A run that is killed and resumed equals one that never stopped, bit for bit."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import run_together

import vidiff
from vidiff.checkpoints import read_checkpoint
from vidiff.video import read_clip

SCRIPT = Path(__file__).with_name("run_tiny.py")


def run(folder, *options, expect=0):
    """Run the script on as many processes as ``options`` ask for."""
    devices = options[options.index("--devices") + 1] if "--devices" in options else 1
    for done in run_together(devices, SCRIPT, folder, *options):
        assert expect in (None, done.returncode), done.stderr[-3000:]


def run_anew(folder, *options):
    """The same in new interpreters: order of sets is another, and Lightning starts the second."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *map(str, options)],
        capture_output=True, text=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def read(path):
    return torch.load(path, weights_only=True, map_location="cpu")


def steps(folder):
    lines = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    return {(line["step"], line["rank"]): line for line in lines}


def assert_same(a, b, where="checkpoint"):
    """Equal to the last bit, all the way down."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    else:
        assert a == b, where


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    run_anew(folder)
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, uninterrupted, workers):
    run(tmp_path, "--workers", workers, "--die-after", 8, expect=-signal.SIGKILL)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert last.resolve().name == "step_00000006.ckpt"  # in the middle of the second epoch
    before = steps(tmp_path)
    half = read(last)["callbacks"]["RunRecord"]["seconds"]
    (tmp_path / "steps.jsonl").unlink()
    run(tmp_path, "--workers", workers, "--ckpt", last)

    expected = steps(uninterrupted)
    assert before == {key: line for key, line in expected.items() if key[0] <= 8}
    assert steps(tmp_path) == {key: line for key, line in expected.items() if key[0] > 6}

    a, b = read(uninterrupted / "checkpoints" / "last.ckpt"), read(last)
    assert any(key.startswith("ema.") for key in a["state_dict"])
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "loops"):
        assert_same(a[part], b[part], part)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["step"] == 10
    assert record["training_seconds"] > half > 0


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """The folder of a whole run of two processes under a strategy; each is made once."""

    @functools.cache
    def make(strategy):
        folder = tmp_path_factory.mktemp(strategy)
        start = run_anew if strategy == "ddp" else run
        start(folder, "--strategy", strategy, "--devices", 2)
        return folder

    return make


@pytest.mark.parametrize(
    "strategy",
    ["ddp", "sharded", pytest.param("sharded_folder", marks=pytest.mark.slow)],
)
def test_two_processes_train_and_resume(tmp_path, whole_run, strategy):
    folder = whole_run(strategy)
    half = folder / "checkpoints" / "step_00000006.ckpt"
    run(tmp_path, "--strategy", strategy, "--devices", 2, "--ckpt", half)
    whole, resumed = steps(folder), steps(tmp_path)
    assert set(whole) == {(step, rank) for step in range(1, 11) for rank in (0, 1)}
    assert resumed == {key: line for key, line in whole.items() if key[0] > 6}
    assert not set(whole[1, 0]["ids"]) & set(whole[1, 1]["ids"])  # each has clips of its own
    a, b = (read_checkpoint(f / "checkpoints" / "last.ckpt") for f in (folder, tmp_path))
    assert_same(a["state_dict"], b["state_dict"])
    sampled = vidiff.load(tmp_path / "checkpoints" / "last.ckpt").sample(["x"], num_steps=2)
    assert sampled.shape == (1, 3, 3, 16, 16)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "sharded"])
def test_two_processes_train_the_same_with_compiled_blocks(tmp_path, whole_run, strategy):
    run(tmp_path, "--strategy", strategy, "--devices", 2, "--compile")
    plain, compiled = steps(whole_run(strategy)), steps(tmp_path)
    assert plain.keys() == compiled.keys()
    for key, line in plain.items():
        losses = [float.fromhex(each["loss"]) for each in (line, compiled[key])]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_two_processes_stop_after_the_same_step_and_have_met_all_words(tmp_path):
    """One of them is told to end; both save, what each met is united, and nothing is broadcast."""
    run(tmp_path, "--strategy", "ddp", "--devices", 2, "--tell-after", 1, expect=None)
    lines = steps(tmp_path)
    last = max(step for step, _ in lines)
    assert 1 <= last <= 3
    assert set(lines) == {(step, rank) for step in range(1, last + 1) for rank in (0, 1)}
    saved = read(tmp_path / "checkpoints" / "last.ckpt")
    assert saved["global_step"] == last
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "stopped"
    mine, other = (set(lines[last, rank]["met"]) for rank in (0, 1))
    assert mine - other
    assert other - mine
    for name in ("conditions.text.met", "ema.conditions.text.met"):
        assert set(saved["state_dict"][name].nonzero().flatten().tolist()) == mine | other


def test_sharding_changes_where_weights_are_and_nothing_else(whole_run):
    one, other = whole_run("ddp"), whole_run("sharded")
    for key, line in steps(one).items():
        expected, actual = (float.fromhex(x["loss"]) for x in (line, steps(other)[key]))
        assert actual == pytest.approx(expected, rel=1e-3)
    a, b = (read_checkpoint(f / "checkpoints" / "last.ckpt")["state_dict"] for f in (one, other))
    assert a.keys() == b.keys()
    for name in a:  # Muon's orthogonalisation in bfloat16 magnifies rounding
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "sharded"])
def test_two_processes_sample_what_one_does(tmp_path, uninterrupted, strategy):
    checkpoint = uninterrupted / "checkpoints" / "last.ckpt"
    run(tmp_path, "--sample", "--ckpt", checkpoint, "--strategy", strategy, "--devices", 2)
    run(tmp_path / "one", "--sample", "--ckpt", checkpoint)
    lines = (tmp_path / "samples" / "samples.jsonl").read_text()
    assert lines == (tmp_path / "one" / "samples" / "samples.jsonl").read_text()
    for line in lines.splitlines():
        name = json.loads(line)["file"]
        one, two = (folder / "samples" / name for folder in (tmp_path / "one", tmp_path))
        a, b = (read_clip(path, num_frames=3) for path in (one, two))
        assert (a - b).abs().max() <= 2 / 127.5  # rounding
