"""Keep large buffers of the C allocator between operations, where that is glibc's.

By default glibc asks the system for every large buffer anew and hands it back when it is freed, so
each tensor of a training step on the CPU is zeroed and page-faulted again. Serving them from the
heap, and never trimming it, makes a step of a small model take 0.91 to 0.94 of the time
(experiments/benchmarks/allocator.py). The process then keeps the most memory that it ever needed.
"""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = 2**31 - 1  # mallopt takes a C int


def keep_buffers() -> bool:
    """Raise the two thresholds of this process; False where the allocator is another one.

    What the user has set by ``MALLOC_MMAP_THRESHOLD_``, ``MALLOC_TRIM_THRESHOLD_`` or
    ``GLIBC_TUNABLES`` is left as it is.
    """
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
