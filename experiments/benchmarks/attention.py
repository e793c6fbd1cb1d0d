"""From how many tokens on is the CPU's flash kernel worth it? (``vidiff.attention.functional``)

    python experiments/benchmarks/attention.py

Prints, for rows of n tokens, forward and backward time of the plain kernel over the flash kernel's.
"""

from __future__ import annotations

import itertools

import torch
from timing import in_turns
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from vidiff.precision import compute_dtype


def train(q: torch.Tensor, backend: SDPBackend) -> None:
    """One forward and backward pass."""
    with sdpa_kernel(backend):
        F.scaled_dot_product_attention(q, q, q).square().mean().backward()


if __name__ == "__main__":
    print(f"{torch.get_num_threads()} threads, 4 heads of 32, 3,072 tokens in all")
    for dtype, n in itertools.product(
        dict.fromkeys((compute_dtype("cpu"), torch.float32)), (8, 16, 48, 128, 256, 512, 1024)
    ):
        q = torch.randn(3072 // n, 4, n, 32, dtype=dtype, requires_grad=True)
        seconds = in_turns(
            {
                "plain": lambda q=q: train(q, SDPBackend.MATH),
                "flash": lambda q=q: train(q, SDPBackend.FLASH_ATTENTION),
            }
        )
        ratio = seconds["plain"] / seconds["flash"]
        print(f"{str(dtype).removeprefix('torch.'):8}  n = {n:5d}   plain / flash = {ratio:.2f}")
