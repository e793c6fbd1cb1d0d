"""A plan for this machine says how long training takes, and whether it fits."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tiny import write_config

from vidiff.__main__ import main
from vidiff.costs.machines import memory_room, peak_of
from vidiff.costs.page import fits

SPEED = 2e11
"""Of matrix products in these tests, in operations a second."""


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was measured, without waiting for it."""
    asked: list[tuple[str, str]] = []

    def speed_of(device: str, dtype: str) -> float:
        asked.append((device, dtype))
        return SPEED

    monkeypatch.setattr("vidiff.doctor.device.speed_of", speed_of)
    return asked


def test_the_time_on_a_cpu_is_that_of_this_machine(
    tmp_path: Path, capsys: Any, measured: list[tuple[str, str]]
) -> None:
    config = write_config(tmp_path / "tiny.yaml")
    words = ["plan", "-c", str(config), "--device", "cpu", "--trainer.precision=32-true"]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    time = report["time"]
    assert (time["peak_tflops"], time["is_measured"]) == (SPEED / 1e12, True)
    operations = report["flops_per_step_per_device"]
    operations += report["optimizer_flops_per_step_per_device"]
    assert time["seconds_per_step"] == pytest.approx(operations / (0.4 * SPEED))
    assert measured == [("cpu", "float32")]
    assert main(words) == 0
    assert "at 40%, which is assumed, of 0.2 TFLOP/s, measured here" in capsys.readouterr().out


def test_products_are_measured_in_the_precision_of_training(
    measured: list[tuple[str, str]],
) -> None:
    for precision in ("bf16-mixed", "16-mixed", "32-true"):
        assert peak_of("cpu", None, precision) == (SPEED / 1e12, True)
    assert measured == [("cpu", "bfloat16"), ("cpu", "float16"), ("cpu", "float32")]
    assert peak_of("cpu", 0.5, "32-true") == (0.5, False)
    with pytest.raises(ValueError, match="peak_tflops must be positive, got 0"):
        peak_of("cpu", 0, "32-true")
    assert len(measured) == 3


def test_memory_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory_room("h100") == 80 * 2**30
    assert memory_room(None) is None
    memory = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3}
    monkeypatch.setattr(os, "sysconf_names", memory)
    monkeypatch.setattr(os, "sysconf", memory.__getitem__)
    assert memory_room("cpu") == 3 * 4096
    monkeypatch.setattr(os, "sysconf_names", {})
    assert memory_room("cpu") is None
    assert fits(81 * 2**30, memory_room("h100")) == (
        "more than the 80.00 GiB there are: lower data.batch_size, and raise "
        "trainer.accumulate_grad_batches"
    )
    assert "more than" not in fits(79 * 2**30, memory_room("h100"))
    assert "more than" not in fits(2**50, None)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--data.batch_size=1000000000", "batch_size 1,000,000,000 is more than a device could"),
        ("--num-frames=0", "num_frames must be at least 1, got 0"),
        ("--devices=0", "num_devices must be at least 1, got 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    tmp_path: Path, capsys: Any, option: str, said: str
) -> None:
    config = write_config(tmp_path / "tiny.yaml")
    assert main(["plan", "-c", str(config), option]) == 2
    assert said in capsys.readouterr().err


def test_a_huge_batch_takes_in_proportion(tmp_path: Path, capsys: Any) -> None:
    """A task draws a number for each clip, which a fake CPU has to know."""
    config = write_config(tmp_path / "tiny.yaml")
    found = []
    for size in (1024, 16384):
        words = [f"--data.batch_size={size}", "--trainer.precision=32-true", "--json"]
        assert main(["plan", "-c", str(config), *words]) == 0
        found.append(json.loads(capsys.readouterr().out))
    few, many = found
    assert many["flops_per_step_per_device"] == 16 * few["flops_per_step_per_device"]
    for part in ("weights", "gradients", "optimizer", "average"):
        assert many["bytes_per_device"][part] == few["bytes_per_device"][part]
    activations = [plan["bytes_per_device"]["activations"] for plan in found]
    assert activations[1] == pytest.approx(16 * activations[0], rel=0.01)
