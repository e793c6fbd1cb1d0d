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
from functools import partial

import torch
from timing import in_turns
from torch import Tensor, nn

from vidiff.attention import Alternating
from vidiff.conditioning import AdaLNSingle, AdaLNZero
from vidiff.denoisers import DiT
from vidiff.patchifiers import Frame
from vidiff.positions import Factorised, SinCos
from vidiff.precision import has_fast_bf16
from vidiff.training.base import counting
from vidiff.types import TextFeatures

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


def dit_models() -> dict[str, tuple[nn.Module, Callable[[], Tensor]]]:
    """DiT-S/4 and its peers, each with a call of its forward pass."""
    from diffusers import DiTTransformer2DModel

    x, t, y = torch.randn(16, 4, 32, 32), torch.randint(0, 1000, (16,)), torch.arange(16)
    vector = torch.randn(16, WIDTH)
    text = TextFeatures(vector, vector.unsqueeze(1), torch.ones(16, 1, dtype=torch.bool))
    ours = DiT(
        in_channels=4, out_channels=8, text_dim=WIDTH, size="S",
        patchifier=partial(Frame, patch_size=4),
        positions=partial(SinCos, shares=(0.0, 1.0, 1.0)),
        conditioning=partial(AdaLNZero, project_text=False),
    )  # fmt: skip
    diffusers = DiTTransformer2DModel(
        num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS, in_channels=4,
        out_channels=8, num_layers=DEPTH, sample_size=32, patch_size=4,
    )  # fmt: skip
    timm = TimmBlocks()
    return {
        "vidiff": (ours, lambda: ours(x.unsqueeze(2), t, text)),
        "diffusers": (diffusers, lambda: diffusers(x, timestep=t, class_labels=y).sample),
        "timm's plain blocks": (timm, lambda: timm(x)),
    }


def latte_models() -> dict[str, tuple[nn.Module, Callable[[], Tensor]]]:
    """Latte, variant 1, and its peer."""
    from diffusers import LatteTransformer3DModel

    x, t = torch.randn(2, 4, 8, 16, 16), torch.randint(0, 1000, (2,))
    caption = torch.zeros(2, 1, 1)  # theirs maps one in any case; no block looks at it here
    ours = DiT(
        in_channels=4, out_channels=8, text_dim=0, size="S", patchifier=Frame,
        positions=Factorised, attention=Alternating, conditioning=AdaLNSingle,
    )  # fmt: skip
    diffusers = LatteTransformer3DModel(
        num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS, in_channels=4,
        out_channels=8, num_layers=DEPTH // 2, sample_size=16, patch_size=2, video_length=8,
        attention_bias=True, activation_fn="gelu-approximate", norm_type="ada_norm_single",
        norm_elementwise_affine=False, norm_eps=1e-6, caption_channels=1,
    )  # fmt: skip
    return {
        "vidiff": (ours, lambda: ours(x, t)),
        "diffusers": (diffusers, lambda: diffusers(x, t, caption).sample),
    }


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--compile", action="store_true", help="compile each as well")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{torch.get_num_threads()} threads")
    for name, make in {"DiT-S/4": dit_models, "Latte": latte_models}.items():
        for precision, dtype in DTYPES.items():
            torch.manual_seed(0)
            models = make()
            work = multiply_adds(models["vidiff"][1])
            steps = {peer: trainer(model, ask, dtype) for peer, (model, ask) in models.items()}
            if args.compile:
                for peer, (model, ask) in make().items():
                    model.compile()
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
