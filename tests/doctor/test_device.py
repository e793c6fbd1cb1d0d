"""Lines of the processors, from machines that are told of."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from vidiff.doctor.device import (
    LARGEST,
    Machine,
    compiler,
    precision,
    processor,
    product_speed,
    products,
)

LAPTOP = Machine(
    cpu="A CPU", cores=2, threads=None, gpus=[], has_driver=False, torch="2.15.0", cuda=None,
    precision="32-true", why="this CPU has no units for bf16",
    speeds={"fp32": 158e9, "bf16": 0.9e9, "fp16": 1e9}, compiler="/usr/bin/g++",
)  # fmt: skip
CARD = replace(
    LAPTOP, gpus=[("H200", 139.8)], has_driver=True, cuda="13.2", precision="bf16-mixed",
    why="a GPU of compute capability 9.0 multiplies bf16",
    speeds={"fp32": 50e12, "bf16": 780e12, "fp16": 780e12},
)  # fmt: skip


@pytest.mark.parametrize("machine", [LAPTOP, CARD])
def test_where_all_is_well_there_is_nothing_to_do(machine: Machine) -> None:
    lines = [judge(machine) for judge in (processor, precision, products, compiler)]
    assert [line.next_step for line in lines] == [""] * 4
    assert "bf16" in lines[1].found
    assert lines[2].facts["flops_per_second"] == machine.speeds


def test_speeds_have_units() -> None:
    assert products(LAPTOP).found == "fp32 158 GFLOP/s, bf16 0.9 GFLOP/s, fp16 1 GFLOP/s"
    assert products(CARD).found.startswith("fp32 50 TFLOP/s, bf16 780 TFLOP/s")
    assert "H200 (140 GiB)" in processor(CARD).found


@pytest.mark.parametrize(
    ("judge", "machine", "state", "said"),
    [
        (processor, replace(LAPTOP, has_driver=True), "wrong", "built for CPUs, cannot use it"),
        (processor, replace(CARD, gpus=[]), "wrong", "built for CUDA 13.2, cannot use it"),
        (processor, replace(LAPTOP, threads=1), "optional", "OMP_NUM_THREADS=1 leaves cores idle"),
        (precision, replace(LAPTOP, why="ATEN_CPU_CAPABILITY=avx2 leaves this CPU without units"),
         "optional", "unset ATEN_CPU_CAPABILITY, unless it is meant"),
        (products, replace(CARD, speeds={"fp32": 2e9, "bf16": 1e9, "fp16": 1e9}), "optional",
         "set --trainer.precision 32-true"),
        (products, replace(LAPTOP, speeds={"fp32": 1e9, "bf16": 2e9, "fp16": 1e9}), "optional",
         "bf16 was 2.0 times as fast as fp32: if it stays so, report this machine"),
        (compiler, replace(LAPTOP, compiler=None), "optional", "apt-get install g++"),
    ],
)  # fmt: skip
def test_what_is_missing_has_a_next_step(judge, machine, state, said) -> None:  # type: ignore[no-untyped-def]
    line = judge(machine)
    assert line.state == state
    assert said in line.next_step


@pytest.mark.parametrize("speed", [0.01e9, 0.9e9, 158e9, 780e12])
def test_slow_products_are_small_ones(speed: float) -> None:
    """By a clock that the products move: three types together take less than two seconds."""
    clock, sizes = SimpleNamespace(now=5.0), []

    def multiply(size: int) -> None:
        sizes.append(size)
        clock.now += 2 * size**3 / speed

    assert product_speed(multiply, lambda: clock.now) == pytest.approx(speed, rel=1e-3)
    assert clock.now - 5.0 < 0.6
    assert max(sizes) == {0.01e9: 64, 0.9e9: 256, 158e9: 1024, 780e12: LARGEST}[speed]


def test_a_product_that_other_programs_delay_does_not_count() -> None:
    clock, sizes = SimpleNamespace(now=0.0), []

    def multiply(size: int) -> None:
        sizes.append(size)
        clock.now += 2 * size**3 / 100e9 + (0.5 if len(sizes) % 4 == 2 else 0.0)

    assert product_speed(multiply, lambda: clock.now) == pytest.approx(100e9, rel=1e-3)
    assert max(sizes) == 1024


def test_a_busy_machine_is_not_judged_by_its_speeds() -> None:
    slow = {"fp32": 1e9, "bf16": 2e9, "fp16": 1e9}
    line = products(replace(LAPTOP, speeds=slow, load=17.9))
    assert line.state == "ok"
    assert line.found.endswith("while other programs ran (load 17.9)")
    assert products(replace(LAPTOP, speeds=slow, load=1.0)).state == "optional"
