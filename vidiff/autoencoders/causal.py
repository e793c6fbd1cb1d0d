"""Causal 3-D layers, and the encoder and decoder that ``causal_kl`` and ``fsq`` share.

Space and time are folded into channels (space-to-depth) instead of being strided over, so that
every convolution runs at a small size: the cheapest way to sharp reconstructions on a CPU.

Every layer takes a video whole, or chunk by chunk: it keeps what it needs of earlier frames in
``past`` under itself as the key, so that one model can work on several videos by turns. Without a
``past``, and in the first chunk, the video begins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vidiff.autoencoders.base import Past
from vidiff.autoencoders.learned import Learned, in_type_of
from vidiff.layers import zero
from vidiff.types import Size

Block = Literal["residual", "depthwise"]


class Stage(NamedTuple):
    """A stage of an encoder, and its mirror image in the decoder."""

    fold: Size  # along frames, height and width
    finer: int  # channels on the side of the pixels
    coarser: int  # channels on the side of the latents, which its blocks have
    depth: int  # blocks in the encoder
    decoder_depth: int
    block: Block


def plan_stages(
    folds: list[Size] | None,
    width: list[int] | None,
    depth: int | list[int],
    decoder_depth: int | list[int] | None,
    block: Block,
) -> list[Stage]:
    """The stages from pixels to latents, from the arguments of ``Causal``, which are checked."""
    folds = [(2, 4, 4)] if folds is None else folds
    width = [128] * len(folds) if width is None else width
    depths, decoder_depths = (
        [blocks] * len(folds) if isinstance(blocks, int) else blocks
        for blocks in (depth, depth if decoder_depth is None else decoder_depth)
    )
    lists = (folds, width, depths, decoder_depths)
    smallest = min([*map(min, folds), *width, *depths, *decoder_depths], default=0)
    if len({len(numbers) for numbers in lists}) > 1 or smallest < 1:
        raise ValueError(
            "a causal autoencoder needs at least one fold, as many widths and depths as folds, and "
            f"numbers of at least 1, got {folds=}, {width=}, {depth=}, {decoder_depth=}"
        )
    channels = zip([3, *width[:-1]], width, strict=True)
    return [
        Stage(fold, *ends, down, up, block)
        for fold, ends, down, up in zip(folds, channels, depths, decoder_depths, strict=True)
    ]


class Causal(Learned):
    """An autoencoder of folds and causal convolutions, in stages.

    Args:
        folds: how much each stage folds along frames, height and width, at least 1; the compression
            is their product. ``[[2, 4, 4]]``, by default.
        width: channels of each stage's convolutions, one number per fold; 128, by default.
        depth: blocks of each stage of the encoder, one number for all stages or one per fold.
        decoder_depth: the same for the decoder, which has more to do; by default the encoder's.
        block: ``residual`` (two full convolutions) or ``depthwise`` (ConvNeXt's block, a sixth of
            the multiply-adds).
    """

    def make_halves(self, stages: Sequence[Stage], outputs: int) -> None:
        """Build encoder, which has so many outputs, and decoder."""
        frames, height, width = zip(*(stage.fold for stage in stages), strict=True)
        self.compression = math.prod(frames), math.prod(height), math.prod(width)
        self.encoder = CausalEncoder(stages, outputs)
        self.decoder = CausalDecoder(stages, self.latent_channels)

    def reconstruct(self, latents: Tensor, past: Past | None = None) -> Tensor:
        return self.decoder(latents, past)

    def last_layer(self) -> nn.Parameter:
        last = self.decoder[-1]
        assert isinstance(last, Up)
        assert isinstance(last.mix.weight, nn.Parameter)
        return last.mix.weight


class Chain(nn.Sequential):
    """Causal layers, one after the other."""

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """(b, c, f, h, w) through all layers, in the type of their weights."""
        x = in_type_of(self, x)
        for layer in self:
            x = layer(x, past)
        return x


class CausalEncoder(Chain):
    """Pixels (b, 3, 1 + k ct, h, w) to (b, outputs, 1 + k, h / ch, w / cw)."""

    def __init__(self, stages: Sequence[Stage], outputs: int) -> None:
        super().__init__(*map(Down, stages), CausalConv(stages[-1].coarser, outputs))


class CausalDecoder(Chain):
    """(b, inputs, 1 + k, h / ch, w / cw) to pixels (b, 3, 1 + k ct, h, w)."""

    def __init__(self, stages: Sequence[Stage], inputs: int) -> None:
        super().__init__(CausalConv(inputs, stages[-1].coarser), *map(Up, reversed(stages)))


class Down(nn.Module):
    """One stage of the encoder: fold, then blocks."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.fold = Fold(stage.fold)
        self.mix = nn.Conv3d(stage.finer * math.prod(stage.fold), stage.coarser, kernel_size=1)
        self.blocks = make_blocks(stage, stage.depth)

    def forward(self, x: Tensor, past: Past | None) -> Tensor:
        """(b, finer, 1 + k pf, h, w) to (b, coarser, 1 + k, h / ph, w / pw)."""
        x = self.mix(self.fold(x, past))
        for block in self.blocks:
            x = block(x, past)
        return x


class Up(nn.Module):
    """One stage of the decoder: blocks, then unfold."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.blocks = make_blocks(stage, stage.decoder_depth)
        self.mix = nn.Conv3d(stage.coarser, stage.finer * math.prod(stage.fold), kernel_size=1)
        self.unfold = Unfold(stage.fold)

    def forward(self, x: Tensor, past: Past | None) -> Tensor:
        """(b, coarser, 1 + k, h, w) to (b, finer, 1 + k pf, h ph, w pw)."""
        for block in self.blocks:
            x = block(x, past)
        return self.unfold(self.mix(x), past)


class Fold(nn.Module):
    """Space-time to depth; the first frame, by itself in its fold, is repeated to fill it."""

    def __init__(self, fold: Size) -> None:
        super().__init__()
        self.fold = fold

    def forward(self, x: Tensor, past: Past | None) -> Tensor:
        """(b, c, 1 + k pf, h, w), or k pf in later chunks, to (b, c pf ph pw, 1 + k, …)."""
        pf, ph, pw = self.fold
        if begins(self, past):
            x = torch.cat([x[:, :, :1].expand(-1, -1, pf - 1, -1, -1), x], dim=2)
        return rearrange(x, "b c (f pf) (h ph) (w pw) -> b (c pf ph pw) f h w", pf=pf, ph=ph, pw=pw)


class Unfold(nn.Module):
    """Depth to space-time, undoing ``Fold``."""

    def __init__(self, fold: Size) -> None:
        super().__init__()
        self.fold = fold

    def forward(self, x: Tensor, past: Past | None) -> Tensor:
        """(b, c pf ph pw, 1 + k, h, w) to (b, c, 1 + k pf, h ph, w pw), in later chunks k pf."""
        pf, ph, pw = self.fold
        x = rearrange(x, "b (c pf ph pw) f h w -> b c (f pf) (h ph) (w pw)", pf=pf, ph=ph, pw=pw)
        return x[:, :, pf - 1 :] if begins(self, past) else x


class CausalConv(nn.Conv3d):
    """A 3 x 3 x 3 convolution that sees no later frame; before the first one it sees the first."""

    def __init__(self, inputs: int, outputs: int, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel_size=3, padding=(0, 1, 1), groups=groups)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """(b, inputs, f, h, w) to (b, outputs, f, h, w)."""
        return super().forward(after_past(self, x, past))


class CausalDepthwiseConv(CausalConv):
    """A ``CausalConv`` of each channel by itself.

    It adds up 2-D convolutions, one for each of the three frames that a frame sees: a third of the
    time that oneDNN takes to train a 3-D one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, groups=channels)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """(b, c, f, h, w) to the same shape."""
        num_frames, video = x.shape[2], after_past(self, x, past)
        biases = (None, None, self.bias)
        seen = [
            F.conv2d(
                rearrange(video[:, :, k : k + num_frames], "b c f h w -> (b f) c h w"),
                self.weight[:, :, k], biases[k], padding=1, groups=self.groups,
            )
            for k in range(3)
        ]  # fmt: skip
        return rearrange(seen[0] + seen[1] + seen[2], "(b f) c h w -> b c f h w", f=num_frames)


class Residual(nn.Module):
    """Norm, SiLU and a causal convolution, twice, around a skip; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.conv1, self.conv2 = CausalConv(channels, channels), CausalConv(channels, channels)
        zero(self.conv2)

    def forward(self, x: Tensor, past: Past | None) -> Tensor:
        """(b, c, f, h, w) to the same shape."""
        y = self.conv1(F.silu(self.norm1(x)), past)
        return x + self.conv2(F.silu(self.norm2(y)), past)


class Depthwise(nn.Module):
    """ConvNeXt's block (Liu et al. 2022), causal, with RMSNorm and SiLU; starts as the identity.

    A depth-wise convolution looks around, and two maps of each place's channels, over four times as
    many, mix them: a sixth of the multiply-adds and weights of a ``Residual``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = CausalDepthwiseConv(channels)
        self.norm = ChannelNorm(channels)
        self.expand = nn.Linear(channels, 4 * channels)
        self.contract = zero(nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor, past: Past | None) -> Tensor:
        """(b, c, f, h, w) to the same shape."""
        y = rearrange(self.norm(self.depthwise(x, past)), "b c f h w -> b f h w c")
        y = self.contract(F.silu(self.expand(y)))
        return x + rearrange(y, "b f h w c -> b c f h w")


BLOCKS: dict[Block, type[nn.Module]] = {"residual": Residual, "depthwise": Depthwise}


def make_blocks(stage: Stage, depth: int) -> nn.ModuleList:
    """The blocks of a stage of one of the halves."""
    return nn.ModuleList(BLOCKS[stage.block](stage.coarser) for _ in range(depth))


class ChannelNorm(nn.Module):
    """RMSNorm over channels: unlike GroupNorm it mixes no frames, so causality holds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, f, h, w) to the same shape."""
        scale = x.float().square().mean(1, keepdim=True).add(1e-6).rsqrt().to(x.dtype)
        return x * scale * self.gain.view(1, -1, 1, 1, 1).to(x.dtype)


def begins(layer: nn.Module, past: Past | None) -> bool:
    """Whether ``layer`` sees the beginning of a video; False from the next chunk on."""
    if past is None:
        return True
    first = layer not in past
    past[layer] = torch.empty(0)
    return first


def after_past(layer: nn.Module, x: Tensor, past: Past | None, num_frames: int = 2) -> Tensor:
    """``x`` behind the frames that ``layer`` saw last: (b, c, num_frames + f, h, w)."""
    before = past.get(layer) if past is not None else None
    if before is None:
        before = x[:, :, :1].expand(-1, -1, num_frames, -1, -1)
    elif before[:, :, 0].shape != x[:, :, 0].shape:
        raise ValueError(
            "chunks of one video must have one batch, height and width, got "
            f"{tuple(x.shape)} after {tuple(before.shape)} in {type(layer).__name__}: begin "
            "another video with an empty past"
        )
    x = torch.cat([before, x], dim=2)
    if past is not None:
        past[layer] = x[:, :, -num_frames:].clone()  # a view would keep the whole chunk
    return x
