"""The parts of the space-time U-Net, on (b, f, h, w, c).

In this order of memory, batches of frames for convolutions in space, rows of frames for those in
time, and tokens of attention are views, and every convolution is channels-last: with bfloat16 on a
CPU, training takes half the time of ``nn.Conv3d`` on (b, c, f, h, w) in space, a third in time.
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from vidiff.attention.functional import attend, merge_heads, split_heads
from vidiff.conditioning.base import Context
from vidiff.layers import Modulation, ZeroLinear, zero
from vidiff.positions import Rope, Rotary, rotate


class Block(nn.Module):
    """Convolutions in space, then in time, then attention over space and over time.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        signal: width of the context's vector.
        num_heads: of each attention layer; 0 for none.
        token_dim: width of the conditions' tokens; 0 for none.
    """

    def __init__(
        self, inputs: int, outputs: int, *, signal: int, num_heads: int, token_dim: int
    ) -> None:
        super().__init__()
        self.in_space, self.in_time = InSpace(inputs, outputs, signal), InTime(outputs)
        self.attention = SpaceTimeAttention(outputs, num_heads, token_dim) if num_heads else None

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(b, f, h, w, inputs) to (b, f, h, w, outputs)."""
        x = self.in_time(self.in_space(x, context))
        return x if self.attention is None else self.attention(x, context)


class InSpace(nn.Module):
    """Two 1 x 3 x 3 convolutions around a skip, scaled and shifted between them by the context.

    The context's vector is one for each frame, (b, f, signal). The block of ADM (Dhariwal &
    Nichol 2021, appendix A); starts as the skip.
    """

    def __init__(self, inputs: int, outputs: int, signal: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(inputs), group_norm(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
        self.conv2 = zero(nn.Conv2d(outputs, outputs, kernel_size=3, padding=1))
        self.modulation = Modulation(signal, 2 * outputs)
        self.skip = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(b, f, h, w, inputs) to (b, f, h, w, outputs)."""
        y = per_frame(self.conv1, F.silu(per_frame(self.norm1, x)))
        signal = self.modulation(F.silu(context.vector))[:, :, None, None]
        scale, shift = signal.chunk(2, dim=-1)
        y = per_frame(self.norm2, y) * (1 + scale) + shift
        return self.skip(x) + per_frame(self.conv2, F.silu(y))


class InTime(nn.Module):
    """A 3 x 1 x 1 convolution around a skip; starts as the identity (Blattmann et al. 2023)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.conv = zero(nn.Conv2d(channels, channels, kernel_size=(3, 1), padding=(1, 0)))

    def forward(self, x: Tensor) -> Tensor:
        """(b, f, h, w, c) to the same shape."""
        return x + per_place(self.conv, F.silu(per_place(self.norm, x)))


class SpaceTimeAttention(nn.Module):
    """Every place attends to its frame, then to itself in all frames, and to the conditions."""

    def __init__(self, width: int, num_heads: int, token_dim: int) -> None:
        super().__init__()
        self.over_space = Attention(width, num_heads, token_dim)
        self.over_time = Attention(width, num_heads, token_dim)
        self.positions = Rope(width=width, num_heads=num_heads, shares=(1.0, 0.0, 0.0))

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(b, f, h, w, c) to the same shape."""
        _, f, h, w, _ = x.shape
        x = self.over_space(rearrange(x, "b f h w c -> (b f) (h w) c"), context)
        x = rearrange(x, "(b f) n c -> (b n) f c", f=f)
        x = self.over_time(x, context, self.positions.rotary((f, 1, 1), x.device))
        return rearrange(x, "(b h w) f c -> b f h w c", h=h, w=w)


class Attention(nn.Module):
    """Attention of tokens to each other and to conditions (GLIDE, Nichol et al. 2021), with a skip.

    Both share one softmax; starts as the identity.
    """

    def __init__(self, width: int, num_heads: int, token_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.text = nn.Linear(token_dim, 2 * width) if token_dim else None
        self.out = ZeroLinear(width, width)

    def forward(self, tokens: Tensor, context: Context, rotary: Rotary | None = None) -> Tensor:
        """Tokens (k b, n, d), where k rows in turn share a clip, to the same shape."""
        q, k, v = split_heads(self.qkv(self.norm(tokens)), 3, self.num_heads)
        if rotary is not None:
            q, k = rotate(q, rotary), rotate(k, rotary)
        mask = None
        if context.tokens is not None:
            assert self.text is not None
            assert context.mask is not None
            times = len(tokens) // len(context.tokens)
            text = split_heads(self.text(context.tokens), 2, self.num_heads)
            text_k, text_v = repeat(text, "two b heads l d -> two (b times) heads l d", times=times)
            k, v = torch.cat([text_k, k], dim=2), torch.cat([text_v, v], dim=2)
            mask = F.pad(context.mask, (0, tokens.shape[1]), value=True)
            mask = repeat(mask, "b l -> (b times) l", times=times)
        mixed = attend(q, k, v, mask)
        return tokens + self.out(merge_heads(mixed))


class Shrink(nn.Module):
    """Half the height and width: 2 x 2 places become one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Linear(4 * inputs, outputs)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(b, f, h, w, inputs) to (b, f, h / 2, w / 2, outputs), whatever the context."""
        return self.mix(fold(x, 2))


class Grow(nn.Module):
    """Twice the height and width: one place becomes 2 x 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Linear(inputs, 4 * outputs)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(b, f, h, w, inputs) to (b, f, 2 h, 2 w, outputs), whatever the context."""
        return unfold(self.mix(x), 2)


def fold(x: Tensor, by: int) -> Tensor:
    """Space to depth: (b, f, h by, w by, c) to (b, f, h, w, c by by)."""
    return rearrange(x, "b f (h p) (w q) c -> b f h w (c p q)", p=by, q=by)


def unfold(x: Tensor, by: int) -> Tensor:
    """Depth to space, undoing ``fold``."""
    return rearrange(x, "b f h w (c p q) -> b f (h p) (w q) c", p=by, q=by)


def per_frame(layer: nn.Module, x: Tensor) -> Tensor:
    """Each frame of (b, f, h, w, c) by itself through a layer for images."""
    y = layer(rearrange(x, "b f h w c -> (b f) c h w"))
    return rearrange(y, "(b f) c h w -> b f h w c", b=len(x))


def per_place(layer: nn.Module, x: Tensor) -> Tensor:
    """Videos (b, f, h, w, c) through a layer for images, as images f high and h w wide."""
    y = layer(rearrange(x, "b f h w c -> b c f (h w)"))
    return rearrange(y, "b c f (h w) -> b f h w c", h=x.shape[2])


def group_norm(channels: int) -> nn.GroupNorm:
    """Over groups of eight channels, or of all where those do not divide into eights."""
    return nn.GroupNorm(channels // 8 if channels % 8 == 0 else 1, channels)
