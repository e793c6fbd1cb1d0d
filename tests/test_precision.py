"""What is chosen for which machine: capabilities are pretended, nothing is timed."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from vidiff.precision import choose, compute_dtype, device_of, has_fast_bf16, has_tf32, slowness

VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")


@pytest.fixture
def cpu(monkeypatch):
    """Makes this CPU one that has what is asked for."""

    def pretend(kernels=True, amx=False, avx512_bf16=False, arm=False, **environment):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        ops = SimpleNamespace(mkldnn=SimpleNamespace(_is_mkldnn_bf16_supported=lambda: kernels))
        monkeypatch.setattr(torch, "ops", ops)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
        monkeypatch.setattr("platform.machine", lambda: "arm64" if arm else "x86_64")

    return pretend


@pytest.fixture
def gpus(monkeypatch):
    """Makes this machine one with GPUs of these compute capabilities."""

    def pretend(*capabilities, gcn=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: capabilities[i])
        monkeypatch.setattr(torch.version, "hip", gcn and "6.4")
        properties = SimpleNamespace(gcnArchName=gcn)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)

    return pretend


@pytest.mark.parametrize(
    ("machine", "fast", "why"),
    [
        ({"kernels": False}, False, "no units for bf16"),
        ({}, False, "AVX512 alone emulates"),
        ({"avx512_bf16": True}, True, "AVX512-BF16"),
        ({"amx": True, "avx512_bf16": True}, True, "AMX"),
        ({"arm": True}, True, "Arm"),
        ({"amx": True, "ONEDNN_MAX_CPU_ISA": "AVX2"}, False, "ONEDNN_MAX_CPU_ISA=AVX2"),
        ({"amx": True, "DNNL_MAX_CPU_ISA": "avx512_core"}, False, "DNNL_MAX_CPU_ISA"),
        ({"amx": True, "ATEN_CPU_CAPABILITY": "avx2"}, False, "ATEN_CPU_CAPABILITY=avx2"),
        ({"amx": True, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, True, "AMX"),
        ({"amx": True, "ATEN_CPU_CAPABILITY": "avx512"}, True, "AMX"),
    ],
)  # fmt: skip
def test_a_cpu_is_fast_in_bf16_where_it_has_units_for_it(cpu, machine, fast, why):
    cpu(**machine)
    assert choose("cpu").precision == ("bf16-mixed" if fast else "32-true")
    assert why in choose("cpu").why
    assert has_fast_bf16("cpu") == fast
    assert compute_dtype("cpu") == (torch.bfloat16 if fast else torch.float32)


def test_a_build_without_kernels_for_bf16_is_slow(cpu, monkeypatch):
    cpu(amx=True)
    monkeypatch.setattr(torch, "ops", SimpleNamespace())
    assert choose("cpu").precision == "32-true"


@pytest.mark.parametrize(
    ("capabilities", "device", "fast"),
    [
        ([(7, 5)], "cuda", False),
        ([(8, 0)], "cuda", True),
        ([(12, 0)], "cuda", True),
        ([(9, 0), (7, 0)], "cuda", False),
        ([(9, 0), (7, 0)], "cuda:0", True),
        ([(9, 0), (7, 0)], "cuda:1", False),
    ],
)
def test_a_gpu_is_judged_by_its_generation(gpus, capabilities, device, fast):
    gpus(*capabilities)
    assert has_fast_bf16(device) == has_tf32(device) == fast
    assert choose(device).precision == ("bf16-mixed" if fast else "32-true")
    assert ("16-mixed is fast there" in choose(device).why) == (not fast)


@pytest.mark.parametrize(("name", "fast"), [("gfx942:sramecc+", True), ("gfx1030", False)])
def test_gpus_of_amd_are_judged_by_their_names(gpus, name, fast):
    gpus((9, 4), gcn=name)
    assert has_fast_bf16("cuda") == fast
    assert not has_tf32("cuda")


def test_machines_that_are_planned_for_need_not_be_here():
    for device in ("a100", "h100", "h200"):
        assert choose(device).precision == "bf16-mixed"
        assert has_tf32(device)


def test_a_gpu_that_is_not_here_is_taken_for_one_of_today(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose("cuda").precision == "bf16-mixed"
    assert "no GPU is here" in choose("cuda").why


@pytest.mark.parametrize("device", ["mps", "xpu", "meta"])
def test_other_devices_compute_in_float32(device):
    assert choose(device).precision == "32-true"
    assert device in choose(device).why
    assert not has_tf32(device)


def test_what_is_slow_is_said_with_the_figure_and_the_key(cpu, gpus):
    cpu(kernels=False)
    said = slowness("bf16-mixed", "cpu")
    assert said is not None
    for part in ("bf16-mixed", "0.9 GFLOP/s", "158", "trainer.precision to 32-true or auto"):
        assert part in said
    assert "no units for fp16" in str(slowness("16-mixed", "cpu"))
    assert slowness("32-true", "cpu") is None
    cpu(amx=True)
    assert slowness("bf16-true", "cpu") is None
    gpus((7, 5))
    assert "0.9" not in str(slowness("bf16-mixed", "cuda"))
    assert slowness("16-mixed", "cuda") is None


@pytest.mark.parametrize(
    ("accelerator", "mps", "cuda", "device"),
    [
        ("auto", False, False, "cpu"),
        ("auto", False, True, "cuda"),
        ("auto", True, False, "mps"),
        ("gpu", False, False, "cuda"),
        ("gpu", True, False, "mps"),
        ("cpu", False, True, "cpu"),
        ("cuda", False, False, "cuda"),
    ],
)
def test_an_accelerator_is_the_device_that_lightning_takes(
    monkeypatch, accelerator, mps, cuda, device
):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert device_of(accelerator) == device


def test_an_accelerator_may_be_an_object():
    from lightning.pytorch.accelerators import CPUAccelerator, MPSAccelerator

    assert [device_of(made()) for made in (CPUAccelerator, MPSAccelerator)] == ["cpu", "mps"]


def test_variables_that_make_a_cpu_one_with_avx2_are_honoured_and_nothing_heavy_is_imported():
    code = (
        "import sys; from vidiff.precision import choose; print(choose('cpu').precision); "
        "assert 'lightning' not in sys.modules"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    call = [sys.executable, "-c", code]
    found = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "32-true"
