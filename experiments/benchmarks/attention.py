"""From how many tokens on is the CPU's flash kernel worth it? (``vidiff.attention.functional``)

    python experiments/benchmarks/attention.py

Prints, for rows of n tokens, forward and backward time of the plain kernel over the flash kernel's.
"""

from __future__ import annotations

import torch
from timing import in_turns
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel


def train(q: torch.Tensor, backend: SDPBackend) -> None:
    """One forward and backward pass."""
    with sdpa_kernel(backend):
        F.scaled_dot_product_attention(q, q, q).square().mean().backward()


if __name__ == "__main__":
    print(f"{torch.get_num_threads()} threads, bfloat16, 4 heads of 32, 3,072 tokens in all")
    for n in (16, 48, 128, 256, 512, 1024):
        q = torch.randn(3072 // n or 1, 4, n, 32, dtype=torch.bfloat16, requires_grad=True)
        seconds = in_turns(
            {
                "plain": lambda q=q: train(q, SDPBackend.MATH),
                "flash": lambda q=q: train(q, SDPBackend.FLASH_ATTENTION),
            }
        )
        print(f"n = {n:5d}   plain / flash = {seconds['plain'] / seconds['flash']:.2f}")
