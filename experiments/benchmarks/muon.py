"""What does Muon over stacked matrices save? (``vidiff.optimizers.muon``)

    python experiments/benchmarks/muon.py

Prints the time of one step over that of ``torch.optim.Muon``, for the matrices of transformers.
"""

from __future__ import annotations

import torch
from timing import in_turns

from vidiff.optimizers.muon import Muon

if __name__ == "__main__":
    for width, depth in ((128, 4), (384, 12)):
        shapes = [
            (3 * width, width),
            (width, width),
            (4 * width, width),
            (width, 4 * width),
        ] * depth
        steps = {}
        for name, make in {"ours": Muon, "torch": torch.optim.Muon}.items():
            parameters = [torch.nn.Parameter(torch.randn(shape) * 0.02) for shape in shapes]
            for parameter in parameters:
                parameter.grad = torch.randn_like(parameter)
            steps[name] = make(parameters, lr=0.02, weight_decay=0.0).step
        seconds = in_turns(steps)
        ratio = seconds["ours"] / seconds["torch"]
        print(f"width {width}, {depth} blocks: ours / torch = {ratio:.2f}")
