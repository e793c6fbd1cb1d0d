"""Keep large buffers of the C allocator between operations, where that is glibc's.

By default glibc maps and zeroes every large buffer anew, in each training step on the CPU. Serving
them from the heap, and never trimming it, makes a step of a small model take 0.91 to 0.94 of the
time (experiments/benchmarks/allocator.py). The process then keeps the most memory that it needed.
"""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = 2**31 - 1  # mallopt takes a C int


def keep_buffers() -> bool:
    """Raise both thresholds; False where the user has set one or the allocator is another one."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    # A trim threshold of -1 turns trimming off (mallopt(3)).
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
