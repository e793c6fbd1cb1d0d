"""Is vidiff's DiT as fast as its peers', and how near is it to what the machine can do?

    python experiments/benchmarks/dit.py [--compile]

Training steps (forward, backward, AdamW) in turns, in fp32 and, where the CPU has units
for it, under bf16 autocast:

- DiT-S/4 on latents of 4x32x32, batch 16, beside diffusers' ``DiTTransformer2DModel`` of the same
  size, and beside as many plain blocks of timm, which have no modulation at all;
- Latte, variant 1 (width 384, 6 spatial and 6 temporal blocks) on 8 frames of 4x16x16 latents in
  2x2 patches, batch 2, beside diffusers' ``LatteTransformer3DModel``, both with adaLN-single.

Prints each peer's time over vidiff's, and vidiff's share of the speed that a product of two large
matrices reaches on this machine.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable

import peers
import torch
from timing import in_turns
from torch import Tensor, nn

from vidiff.denoisers.base import listed
from vidiff.precision import has_fast_bf16
from vidiff.training.flops import counting

WIDTH, DEPTH, HEADS = 384, 12, 6
DTYPES = {"fp32": torch.float32}
if has_fast_bf16("cpu"):
    DTYPES["bf16"] = torch.bfloat16


def trainer(model: nn.Module, ask: Callable[[], Tensor], dtype: torch.dtype) -> Callable[[], None]:
    """One training step of a model whose answer ``ask`` returns."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            loss = ask().float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def matrix_limit(dtype: torch.dtype, size: int = 2048) -> float:
    """Multiply-adds per second of a product of two square matrices, the best of several."""
    a, b = torch.randn(2, size, size).to(dtype).unbind(0)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return size**3 / best


def multiply_adds(ask: Callable[[], Tensor]) -> float:
    """Of a training step: three times the forward pass's."""
    with counting() as counter, torch.no_grad():
        ask()
    return 3 * counter.get_total_flops() / 2


class TimmBlocks(nn.Module):
    """Twelve plain blocks of timm between a patch embedding and a linear map."""

    def __init__(self) -> None:
        from timm.layers import PatchEmbed
        from timm.models.vision_transformer import Block

        super().__init__()
        self.embed = PatchEmbed(32, 4, 4, WIDTH)
        blocks = [Block(WIDTH, HEADS, 4.0, qkv_bias=True) for _ in range(DEPTH)]
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(WIDTH, 128)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 4, 32, 32) to (b, 64, 128)."""
        return self.last(self.blocks(self.embed(x)))


def timm_blocks() -> tuple[nn.Module, Callable[[], Tensor]]:
    """``TimmBlocks``, and a call of its forward pass."""
    x, timm = torch.randn(16, 4, 32, 32), TimmBlocks()
    return timm, lambda: timm(x)


MODELS: dict[str, dict[str, peers.Peer]] = {
    "DiT-S/4": peers.dit() | {"timm's plain blocks": timm_blocks},
    "Latte": peers.latte(),
}


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--compile", action="store_true", help="compile the blocks of each as well")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{torch.get_num_threads()} threads")
    for name, builders in MODELS.items():
        for precision, dtype in DTYPES.items():
            torch.manual_seed(0)
            models = {peer: build() for peer, build in builders.items()}
            work = multiply_adds(models["vidiff"][1])
            steps = {peer: trainer(model, ask, dtype) for peer, (model, ask) in models.items()}
            if args.compile:
                for peer, build in builders.items():
                    model, ask = build()
                    for block in listed(model):
                        block.compile()
                    steps[f"{peer}, compiled"] = trainer(model, ask, dtype)
            seconds = in_turns(steps, rounds=7)
            limit = matrix_limit(dtype)
            print(f"\n{name}, {precision}, {work / 1e9:.0f} G multiply-adds a step")
            for peer, time_of in seconds.items():
                ratio, share = time_of / seconds["vidiff"], work / time_of / limit
                print(f"  {peer:30} {time_of:6.3f} s   {ratio:5.2f} of vidiff's", end="")
                print(f"   {share:4.0%} of the matrix limit" if "vidiff" in peer else "")


if __name__ == "__main__":
    main()
