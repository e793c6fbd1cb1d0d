"""How long the test suite takes on this machine, from a short measured probe.

Called by ``make test``. Most of the suite is small tensors and starts of the program, so the probe
is one start and a few steps of a small network, in proportion to a machine whose suite was timed.
"""

from __future__ import annotations

import subprocess
import sys
import time

import torch
from torch import nn

SUITE_MINUTES, PROBE_SECONDS = 14.5, 11.1
"""Of ``make test`` and of this probe, on two quiet cores of an AMD EPYC with AVX2."""


def start_seconds() -> float:
    """Seconds of a start of a model command; the second one, which finds its files in memory."""
    took = 0.0
    for _ in range(2):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import vidiff.cli.model"], check=True)
        took = time.perf_counter() - began
    return took


def step_seconds(num_steps: int = 100) -> float:
    """Seconds of ``num_steps`` training steps of a small transformer layer."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
    optimizer = torch.optim.AdamW(layer.parameters())
    clips = torch.randn(8, 48, 64)
    began = time.perf_counter()
    for _ in range(num_steps):
        optimizer.zero_grad()
        layer(clips).square().mean().backward()
        optimizer.step()
    return time.perf_counter() - began


if __name__ == "__main__":
    minutes = SUITE_MINUTES * (start_seconds() + step_seconds()) / PROBE_SECONDS
    print(f"About {max(1, round(minutes))} minutes on this machine, as busy as it is now.")
