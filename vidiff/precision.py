"""What a device computes fast, known by what it is and never by timing it.

A product in bfloat16 takes half the time of one in float32 where a processor has units for it, and
up to 170 times as long where it has not.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch

AUTO: Final = "auto"

CAPABILITY = {"a100": (8, 0), "h100": (9, 0), "h200": (9, 0)}
"""Compute capability of GPUs that can be planned for by their names."""

AMPERE = (8, 0)  # the first compute capability with units for bf16 and TF32

ROCM = ("gfx90a", "gfx94", "gfx95", "gfx11", "gfx12")
"""Beginnings of the names of AMD's GPUs that have units for bf16."""

ISA_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
ISA_WITHOUT = (
    "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI",
)  # fmt: skip
"""Instruction sets of oneDNN that do not multiply bf16."""

MEASURED = "0.9 GFLOP/s were measured on two AVX2 cores, against 158 in fp32"


@dataclass(frozen=True)
class Choice:
    """What ``auto`` means on a device, as Lightning's trainer calls it, and why."""

    precision: str
    why: str

    def __str__(self) -> str:
        return f"{self.precision} ({self.why})"


def choose(device: torch.device | str) -> Choice:
    """The precision that is fast and right on a device: bf16-mixed with units for bf16, or fp32.

    The device is one of this machine, as ``cpu``, ``cuda`` or ``cuda:1``, or of ``CAPABILITY``. A
    plain ``cuda`` is all GPUs here, or, where there is none, a GPU of today.
    """
    fast, why = _bf16(device)
    return Choice("bf16-mixed" if fast else "32-true", why)


def has_fast_bf16(device: torch.device | str) -> bool:
    """Whether a device multiplies bf16 faster than fp32, see ``choose``."""
    return _bf16(device)[0]


def compute_dtype(device: torch.device | str) -> torch.dtype:
    """The type for products whose last digits do not matter: bf16 where it is fast, else fp32."""
    return torch.bfloat16 if has_fast_bf16(device) else torch.float32


def has_tf32(device: torch.device | str) -> bool:
    """Whether a device multiplies float32 as TF32 if it is allowed to."""
    kind, _ = _parts(device)
    return kind == "cuda" and torch.version.hip is None and _capability(device) >= AMPERE


def slowness(precision: str, device: torch.device | str) -> str | None:
    """Why a precision that was asked for is slow on a device, and what to do; None if it is not."""
    kind, _ = _parts(device)
    if kind == "cpu" and precision.startswith("16"):
        return (
            f"trainer.precision {precision} is slow here: a CPU has no units for fp16 (of bf16 "
            f"without units {MEASURED}); set trainer.precision to 32-true or auto"
        )
    if kind in ("cpu", "cuda") and precision.startswith("bf16") and not has_fast_bf16(device):
        measured = f" ({MEASURED})" if kind == "cpu" else ""
        return (
            f"trainer.precision {precision} is slow here: {_bf16(device)[1]}{measured}; set "
            "trainer.precision to 32-true or auto"
        )
    return None


@contextmanager
def full_precision(device: torch.device | str = "cpu") -> Iterator[None]:
    """Neither mixed precision nor TF32, which would decide the last digits of a score."""
    backends: Any = torch.backends
    owners = (backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.matmul)
    before = [owner.fp32_precision for owner in owners]
    try:
        for owner in owners:
            owner.fp32_precision = "ieee"
        with torch.autocast(torch.device(device).type, enabled=False):
            yield
    finally:
        for owner, value in zip(owners, before, strict=True):
            owner.fp32_precision = value


def device_of(accelerator: Any) -> str:
    """The kind of device that Lightning's ``accelerator`` stands for on this machine."""
    name = accelerator if isinstance(accelerator, str) else type(accelerator).__name__
    name = name.lower().removesuffix("accelerator")
    if name not in ("auto", "gpu"):
        return name
    if torch.backends.mps.is_available():
        return "mps"
    return "cuda" if name == "gpu" or torch.cuda.is_available() else "cpu"


def _bf16(device: torch.device | str) -> tuple[bool, str]:
    """Whether a device has units for bf16, and how that is known."""
    kind, _ = _parts(device)
    if kind == "cpu":
        return _bf16_of_cpu()
    if kind != "cuda":
        return False, f"{kind} is not known to be right and fast in bf16"
    if torch.version.hip is not None and torch.cuda.is_available():
        name = torch.cuda.get_device_properties(device).gcnArchName
        return name.startswith(ROCM), f"the GPU is {name}"
    if str(device) not in CAPABILITY and not torch.cuda.is_available():
        return True, "no GPU is here to ask: those since Ampere multiply bf16"
    major, minor = _capability(device)
    if (major, minor) >= AMPERE:
        return True, f"a GPU of compute capability {major}.{minor} multiplies bf16"
    return False, (
        f"a GPU of compute capability {major}.{minor} has no units for bf16, which come with 8.0; "
        "16-mixed is fast there, and needs its loss scaled"
    )


def _bf16_of_cpu() -> tuple[bool, str]:
    for variable in ISA_VARIABLES:
        if (asked := os.environ.get(variable, "")).upper() in ISA_WITHOUT:
            return False, f"{variable}={asked} leaves this CPU without units for bf16"
    if (asked := os.environ.get("ATEN_CPU_CAPABILITY", "")).lower() in ("default", "avx2"):
        return False, f"ATEN_CPU_CAPABILITY={asked} leaves this CPU without units for bf16"
    try:
        supported = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # torch was built without oneDNN
        return False, "this build of torch has no bf16 kernels for the CPU"
    if not supported:
        return False, "this CPU has no units for bf16"
    names = {
        "AMX": torch.cpu._is_amx_tile_supported(),
        "AVX512-BF16": torch.cpu._is_avx512_bf16_supported(),
        "Arm's bf16": platform.machine().lower() in ("aarch64", "arm64"),
    }
    found = next((name for name, is_there in names.items() if is_there), None)
    if found is None:  # oneDNN emulates bf16 by AVX512
        return False, "this CPU has no units for bf16: AVX512 alone emulates them"
    return True, f"this CPU has {found}"


def _capability(device: torch.device | str) -> tuple[int, int]:
    """Of a GPU; the lowest where several are meant, the newest known where none is here."""
    if str(device) in CAPABILITY:
        return CAPABILITY[str(device)]
    if not torch.cuda.is_available():
        return max(CAPABILITY.values())
    _, index = _parts(device)
    indices = range(torch.cuda.device_count()) if index is None else [index]
    return min(torch.cuda.get_device_capability(index) for index in indices)


def _parts(device: torch.device | str) -> tuple[str, int | None]:
    """Kind and number."""
    if str(device) in CAPABILITY:
        return "cuda", None
    kind, _, index = str(device).partition(":")
    return kind, int(index) if index else None
