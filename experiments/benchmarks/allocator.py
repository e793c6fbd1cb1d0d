"""What does keeping freed buffers save? (``vidiff.cli.allocator``)

    python experiments/benchmarks/allocator.py

Prints the time of a training step with buffers kept over one in which glibc returns them to the
system, which then has to hand out and clear fresh pages; each in processes of their own, in turn.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

STEP = """
import sys, time, torch
from vidiff.cli.allocator import keep_buffers
from vidiff.data import MovingShapes, collate
from vidiff.denoisers import DiT
from vidiff.diffusion import Objective
from vidiff.patchifiers import Tubelet
from vidiff.precision import has_fast_bf16
from functools import partial
if sys.argv[1] == "kept":
    keep_buffers()
model = DiT(in_channels=3, out_channels=3, width=128, depth=4, num_heads=4,
            patchifier=partial(Tubelet, patch_size=(3, 8, 8)))
data = MovingShapes(split="train")
pixels = collate(data.__getitems__(range(64))).pixels
def step():
    with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bf16("cpu")):
        loss = Objective().loss(model, pixels).weighted.mean()
    loss.backward()
for _ in range(3): step()
start = time.perf_counter()
for _ in range(10): step()
print(time.perf_counter() - start)
"""

if __name__ == "__main__":
    seconds: dict[str, list[float]] = {"kept": [], "returned": []}
    for _ in range(3):
        for name, times in seconds.items():
            run = subprocess.run(
                [sys.executable, "-c", STEP, name], capture_output=True, text=True, check=True
            )
            times.append(float(run.stdout))
    ratio = median(seconds["kept"]) / median(seconds["returned"])
    print(f"training step with buffers kept / returned = {ratio:.2f}")
