"""The same networks by vidiff and by others, for benchmarks that compare them.

Each function gives builders by name, so that networks need not be in memory together. A builder
gives a network and a call of its forward pass, on the default device (``torch.device(...)`` as a
context), with weights that are random.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from vidiff.attention import Alternating, Full
from vidiff.conditioning import AdaLNSingle, AdaLNZero
from vidiff.denoisers import DiT
from vidiff.patchifiers import Frame, Tubelet
from vidiff.positions import Factorised, Rope, SinCos
from vidiff.types import Signal, SignalDims

Peer = Callable[[], tuple[nn.Module, Callable[[], Tensor]]]


def dit(
    width: int = 384, depth: int = 12, heads: int = 6, patch_size: int = 4, size: int = 32,
    batch: int = 16,
) -> dict[str, Peer]:  # fmt: skip
    """DiT (Peebles & Xie 2023) of latents of 4 x size x size under a class."""

    def ours() -> tuple[nn.Module, Callable[[], Tensor]]:
        x, t = torch.randn(batch, 4, 1, size, size), torch.rand(batch)
        label = {"label": Signal(vector=torch.randn(batch, width))}
        model = DiT(
            in_channels=4, out_channels=8, signals={"label": SignalDims(vector=width)},
            width=width, depth=depth, num_heads=heads,
            patchifier=partial(Frame, patch_size=patch_size),
            positions=partial(SinCos, shares=(0.0, 1.0, 1.0)),
            conditioning=partial(AdaLNZero, project=False),
        )  # fmt: skip
        return model, lambda: model(x, t, label)

    def diffusers() -> tuple[nn.Module, Callable[[], Tensor]]:
        from diffusers import DiTTransformer2DModel

        x, t = torch.randn(batch, 4, size, size), torch.randint(0, 1000, (batch,))
        y = torch.arange(batch)
        model = DiTTransformer2DModel(
            num_attention_heads=heads, attention_head_dim=width // heads, in_channels=4,
            out_channels=8, num_layers=depth, sample_size=size, patch_size=patch_size,
        )  # fmt: skip
        return model, lambda: model(x, timestep=t, class_labels=y).sample

    return {"vidiff": ours, "diffusers": diffusers}


def latte(
    width: int = 384, depth: int = 12, heads: int = 6, frames: int = 8, size: int = 16,
    batch: int = 2,
) -> dict[str, Peer]:  # fmt: skip
    """Latte, variant 1 (Ma et al. 2024), of 4 x frames x size x size in 2x2 patches, no text."""

    def ours() -> tuple[nn.Module, Callable[[], Tensor]]:
        x, t = torch.randn(batch, 4, frames, size, size), torch.rand(batch)
        model = DiT(
            in_channels=4, out_channels=8,
            width=width, depth=depth, num_heads=heads, patchifier=Frame,
            positions=Factorised, attention=Alternating, conditioning=AdaLNSingle,
        )  # fmt: skip
        return model, lambda: model(x, t)

    def diffusers() -> tuple[nn.Module, Callable[[], Tensor]]:
        from diffusers import LatteTransformer3DModel

        x, t = torch.randn(batch, 4, frames, size, size), torch.randint(0, 1000, (batch,))
        caption = torch.zeros(batch, 1, 1)  # theirs maps one in any case; no block looks at it here
        model = LatteTransformer3DModel(
            num_attention_heads=heads, attention_head_dim=width // heads, in_channels=4,
            out_channels=8, num_layers=depth // 2, sample_size=size, patch_size=2,
            video_length=frames, attention_bias=True, activation_fn="gelu-approximate",
            norm_type="ada_norm_single", norm_elementwise_affine=False, norm_eps=1e-6,
            caption_channels=1,
        )  # fmt: skip
        return model, lambda: model(x, t, caption).sample

    return {"vidiff": ours, "diffusers": diffusers}


def wan(
    width: int = 1536, depth: int = 30, heads: int = 12, mlp: int = 8960, text_dim: int = 4096,
    words: int = 512, grid: tuple[int, int, int] = (5, 60, 104), batch: int = 1,
) -> dict[str, Peer]:  # fmt: skip
    """A model like Wan 2.1's 1.3 B: full attention, rotary positions, one modulation, text."""

    def inputs() -> tuple[Tensor, Tensor]:
        return torch.randn(batch, 16, *grid), torch.randn(batch, words, text_dim)

    def ours() -> tuple[nn.Module, Callable[[], Tensor]]:
        x, tokens = inputs()
        t = torch.rand(batch)
        mask = torch.ones(batch, words, dtype=torch.bool)
        text = {"text": Signal(tokens=tokens, mask=mask)}
        model = DiT(
            in_channels=16, out_channels=16, signals={"text": SignalDims(tokens=text_dim)},
            width=width, depth=depth, num_heads=heads, mlp_ratio=(mlp + 0.5) / width,
            patchifier=partial(Tubelet, patch_size=(1, 2, 2)), positions=Rope,
            attention=partial(Full, qk_norm=True), conditioning=AdaLNSingle,
        )  # fmt: skip
        return model, lambda: model(x, t, text)

    def diffusers() -> tuple[nn.Module, Callable[[], Tensor]]:
        from diffusers import WanTransformer3DModel

        x, tokens = inputs()
        t = torch.randint(0, 1000, (batch,))
        model = WanTransformer3DModel(
            patch_size=(1, 2, 2), num_attention_heads=heads, attention_head_dim=width // heads,
            in_channels=16, out_channels=16, text_dim=text_dim, freq_dim=256, ffn_dim=mlp,
            num_layers=depth, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        )  # fmt: skip
        return model, lambda: model(x, t, tokens, return_dict=False)[0]

    return {"vidiff": ours, "diffusers": diffusers}
