"""The benchmark for users with a GPU, in tiny on the CPU."""

import json
import subprocess
import sys

import pytest
from scripts import EXPERIMENTS, load_script

SCRIPT = EXPERIMENTS / "benchmarks" / "gpu.py"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    return load_script("benchmarks/gpu.py")


def rows(folder):
    lines = (folder / "results.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_missing_package_is_named_and_the_rest_goes_on(gpu, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    bench = gpu.Bench(tmp_path, small=True)
    for part in ("machine", "dit"):
        gpu.run_part(bench, part)
    found = [row for row in rows(tmp_path) if row["part"] == "dit"]
    assert [("seconds" in row, "failed" in row) for row in found[:-1]] == [
        (True, False), (False, True), (True, False), (False, True),
    ]  # fmt: skip
    table = gpu.report(bench)
    assert table.count("diffusers is missing: pip install 'vidiff[pretrained]'") == 2
    assert "| dit: DiT-XL/2, vidiff, compiled by block |" in table
    assert json.loads((tmp_path / "report.json").read_text())["rows"] == rows(tmp_path)


def test_a_part_that_takes_too_long_is_stopped_and_named(gpu, tmp_path):
    bench = gpu.Bench(tmp_path, small=True)
    bench.part = "dit"
    gpu.run_apart(bench, "dit", seconds=0.2)
    assert rows(tmp_path)[-1]["failed"].startswith("stopped after 0 s")


@pytest.mark.slow
def test_all_parts_run(tmp_path):
    command = [sys.executable, str(SCRIPT), "--small", "--output", str(tmp_path / "out")]
    subprocess.run(command, check=True)
    found = rows(tmp_path / "out")
    assert not [row for row in found if "failed" in row]
    assert {row["part"] for row in found} == {
        "machine", "dit", "wan", "latte", "loop", "resume", "demo",
    }  # fmt: skip
    assert [row["equal"] for row in found if "equal" in row] == [True]
    assert (tmp_path / "out" / "report.md").read_text().startswith("CPU, torch")
