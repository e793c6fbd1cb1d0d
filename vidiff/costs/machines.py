"""Speed and memory of the devices that ``vidiff plan`` knows by name."""

from __future__ import annotations

import math
import os

from vidiff.checks import positive

DEVICES = ("a100", "h100", "h200", "cpu")  # the last is this machine

TFLOPS = {"a100": (312.0, 156.0, 19.5), "h100": (989.0, 495.0, 67.0), "h200": (989.0, 495.0, 67.0)}
"""Peak of dense matrix products in bf16 or fp16, in TF32, and in fp32 without it, by NVIDIA's data
sheets of A100 80GB (2021), H100 SXM (2023), H200 SXM (2024); half of those of sparse matrices.
"""

MEMORY = {"a100": 80, "h100": 80, "h200": 141}  # GiB of each


def peak_of(
    device: str | None, asked: float | None, precision: str, matmul: str = "highest"
) -> tuple[float | None, bool]:
    """Operations a second that a device could do, over 10^12; and whether they were measured.

    A positive number that is ``asked`` for is taken instead. The peak is None where it is not
    known, and that of TF32 unless the trainer's ``matmul_precision`` is ``highest``.
    """
    positive(peak_tflops=asked)
    if asked is not None or device is None:
        return asked, False
    if device == "cpu":
        return measured_speed("cpu", precision) / 1e12, True
    half, tf32, single = TFLOPS[device]
    if precision != "32-true":
        return half, False
    return single if matmul == "highest" else tf32, False


def measured_speed(device: str, precision: str) -> float:
    """Operations a second that this machine's device reaches in products of that precision."""
    from vidiff.doctor.device import speed_of

    dtypes = {"bf16": "bfloat16", "16": "float16"}
    return speed_of(device, dtypes.get(precision.partition("-")[0], "float32"))


def memory_room(device: str | None) -> int | None:
    """Bytes of a named device, or of this machine; None where it is not known."""
    if device == "cpu":
        names = ("SC_PAGE_SIZE", "SC_PHYS_PAGES")
        return math.prod(map(os.sysconf, names)) if {*names} <= {*os.sysconf_names} else None
    return None if device is None else MEMORY[device] * 2**30
