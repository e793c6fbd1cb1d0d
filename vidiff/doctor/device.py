"""Processors, the precision that ``auto`` means on them, and how fast they multiply."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from vidiff.doctor.base import Check, Finding, judged
from vidiff.registry import register

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

PATIENCE = 0.25
"""Seconds that products of a size may take together; a larger size than that is not tried."""

REPEATS = 3  # products of a size that are timed; the quickest counts
SMALLEST, LARGEST = 64, 8192  # rows of the matrices that are multiplied


@dataclass(frozen=True)
class Machine:
    """What is known of the processors, by looking."""

    cpu: str
    cores: int  # that this process may use
    threads: int | None  # ``OMP_NUM_THREADS``, where it is set
    gpus: list[tuple[str, float]]  # names and GiB of memory of those that torch can use
    has_driver: bool  # whether the operating system has an NVIDIA GPU
    torch: str  # version, which names the build
    cuda: str | None  # that torch was built for; None for a build without
    precision: str  # that ``auto`` means here, and why
    why: str
    speeds: dict[str, float] = field(default_factory=dict)  # FLOP/s of products, by type
    compiler: str | None = None  # of C++, by its path
    load: float = 0.0  # processes that wait for a core, the mean of the last minute


@register("device")
class Device(Check):
    """CPU, GPUs, precision, measured products, compiler."""

    place: ClassVar[int] = 1

    def look(self) -> list[Finding]:
        machine = this_machine()
        return [judge(machine) for judge in (processor, precision, products, compiler)]


def processor(machine: Machine) -> Finding:
    """The line of CPU and GPUs."""
    gpus = ", ".join(f"{name} ({memory:.0f} GiB)" for name, memory in machine.gpus) or "no GPU"
    found = f"{machine.cpu}, {machine.cores} cores; {gpus}; torch {machine.torch}"
    facts = {name: getattr(machine, name) for name in ("cpu", "cores", "threads", "torch", "cuda")}
    facts["gpus"] = [{"name": name, "memory_gib": memory} for name, memory in machine.gpus]
    step, is_unused = "", machine.has_driver and not machine.gpus
    if is_unused:
        step = (
            f"there is an NVIDIA GPU, and torch, built for "
            f"{f'CUDA {machine.cuda}' if machine.cuda else 'CPUs'}, cannot use it: install a build "
            "for the CUDA version that `nvidia-smi` shows, or a newer driver"
        )
    elif machine.threads is not None and machine.threads < machine.cores:
        step = f"OMP_NUM_THREADS={machine.threads} leaves cores idle: unset it to use all"
    return judged("processor", found, step, facts, is_wrong=is_unused)


def precision(machine: Machine) -> Finding:
    """The line of what ``trainer.precision: auto`` means."""
    from vidiff.precision import ISA_VARIABLES

    found = f"auto is {machine.precision}: {machine.why}"
    limits = (*ISA_VARIABLES, "ATEN_CPU_CAPABILITY")
    limit = next((name for name in limits if f"{name}=" in machine.why), None)
    step = f"unset {limit}, unless it is meant" if limit else ""
    return judged("precision", found, step, {"auto": machine.precision, "why": machine.why})


def products(machine: Machine) -> Finding:
    """The line of measured speeds, and whether they agree with the precision."""
    found = ", ".join(f"{name} {_speed(speed)}" for name, speed in machine.speeds.items())
    ratio, step = machine.speeds["bf16"] / machine.speeds["fp32"], ""
    if machine.load > 1.5 * machine.cores and not machine.gpus:  # so speeds decide nothing
        found += f", while other programs ran (load {machine.load:.1f})"
    elif machine.precision.startswith("bf16") and ratio < 1:
        step = "bf16 was slower than fp32: if it stays so, set --trainer.precision 32-true"
    elif machine.precision == "32-true" and ratio > 1.5:
        step = f"bf16 was {ratio:.1f} times as fast as fp32: if it stays so, report this machine, "
        step += "and try --trainer.precision bf16-mixed"
    facts = {"flops_per_second": dict(machine.speeds), "load": machine.load}
    return judged("products", found, step, facts)


def compiler(machine: Machine) -> Finding:
    """The line of what ``torch.compile`` needs."""
    found, step = f"{machine.compiler}, for torch.compile", ""
    if machine.compiler is None:
        found = "no C++ compiler"
        step = "apt-get install g++ (or set CXX), for model.compile_denoiser"
    return judged("compiler", found, step, {"compiler": machine.compiler})


def this_machine() -> Machine:
    """Look at the processors, and let them multiply for a second."""
    import torch

    from vidiff.cores import available_cores
    from vidiff.precision import choose, device_of

    device = device_of("auto")
    choice = choose(device)
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return Machine(
        cpu=_cpu_name(),
        cores=available_cores(),
        threads=int(threads) if threads.isdigit() else None,
        gpus=[(card.name, card.total_memory / 2**30) for card in cards],
        has_driver=any(Path("/dev").glob("nvidia[0-9]*")),
        torch=str(torch.__version__),
        cuda=torch.version.cuda or torch.version.hip,
        precision=choice.precision,
        why=choice.why,
        speeds={name: speed_of(device, dtype) for name, dtype in DTYPES.items()},
        compiler=next(filter(None, map(shutil.which, (os.environ.get("CXX", "g++"), "c++"))), None),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
    )


def product_speed(
    multiply: Callable[[int], None], clock: Callable[[], float] = time.perf_counter
) -> float:
    """FLOP/s of square products, of n rows, that double for as long as the next is quick enough."""
    best, size = 0.0, SMALLEST
    while True:
        multiply(size)  # the first of a size prepares it
        times = []
        for _ in range(REPEATS):
            begun = clock()
            multiply(size)
            times.append(clock() - begun)
        took = max(min(times), 1e-9)  # other programs delay some
        best = max(best, 2 * size**3 / took)
        # The next size takes eight times as long.
        if size >= LARGEST or 8 * took * (1 + REPEATS) > PATIENCE:
            return best
        size *= 2


def speed_of(device: str, dtype: str) -> float:
    """FLOP/s of this machine's matrix products in a type of torch, measured in a second."""
    import torch

    def multiply(size: int) -> None:
        x = torch.ones(size, size, device=device, dtype=getattr(torch, dtype))
        (x @ x)[0, 0].item()

    return product_speed(multiply)


def _speed(flops: float) -> str:
    unit, name = (1e12, "TFLOP/s") if flops >= 1e12 else (1e9, "GFLOP/s")
    return f"{flops / unit:.3g} {name}"


def _cpu_name() -> str:
    from vidiff.cores import kernel_lines

    lines = [line for line in kernel_lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    names = [line.partition(":")[2].strip() for line in lines]
    return names[0] if names else platform.processor() or platform.machine()
