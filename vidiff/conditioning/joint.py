"""Two streams and joint attention (MMDiT of Stable Diffusion 3, Esser et al. 2024, section 4)."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.attention.functional import split_heads
from vidiff.attention.multi_head import HeadNorm, MultiHead, Projections
from vidiff.conditioning.adaln_zero import AdaLNZeroBlock
from vidiff.conditioning.base import Block, Context, Route
from vidiff.conditioning.modulated import AdaptiveNorm, Modulated, modulate, per_token
from vidiff.layers import Linear, Modulation
from vidiff.positions.base import Layout
from vidiff.registry import fitting, register


@register("joint")
class Joint(Modulated):
    """Conditions and video are two streams with weights of their own that meet in attention.

    Time and the conditions' vectors modulate both streams as in ``adaln_zero``, which this is for a
    model without conditions' tokens. They precede the video's as context, whatever the layout
    of the attention, which must mix queries, keys and values of both in one step. The last block
    only reads them.
    """

    routes: ClassVar[tuple[Route, ...]] = (Route("vector", "vector"), Route("tokens", "tokens"))
    uses_all: ClassVar[bool] = True
    tokens_first: ClassVar[bool] = True

    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        if not self.token_maps:
            return AdaLNZeroBlock(self.width, attention, mlp)
        if not _mixes_once(type(attention)) or not isinstance(attention, MultiHead):
            raise ValueError(
                f"joint conditioning does not fit {type(attention).__name__} attention: two "
                "streams with projections of their own need one that projects, mixes once and "
                "projects (MultiHead, with its forward as it is); these fit: "
                + fitting("attention", _mixes_once)
            )
        return JointBlock(self.width, attention, mlp)


class JointBlock(AdaLNZeroBlock):
    """A block of adaLN-Zero for the video, and one for the text, if any, with one attention."""

    attention: MultiHead

    def __init__(self, width: int, attention: MultiHead, mlp: nn.Module) -> None:
        super().__init__(width, attention, mlp)
        self.text: TextStream | LastTextStream = (
            LastTextStream(width, attention)
            if attention.is_last
            else TextStream(width, attention, mlp)
        )

    def forward(self, tokens: Tensor, context: Context, layout: Layout) -> Tensor:
        if context.tokens is None:
            return super().forward(tokens, context, layout)
        assert context.mask is not None
        shared = context.for_frames()  # the text belongs to no frame
        num_text = context.tokens.shape[1]
        text, video = tokens[:, :num_text], tokens[:, num_text:]
        mask = nn.functional.pad(context.mask, (0, video.shape[1]), value=True)

        signal = per_token(self.modulation(nn.functional.silu(context.vector)), video)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = signal.chunk(6, dim=-1)
        normed = modulate(self.norm_attention(video), shift_a, scale_a)
        own = self.attention.split(normed, layout.rotary)
        q, k, v = (
            torch.cat(pair, dim=2) for pair in zip(self.text.split(text, shared), own, strict=True)
        )
        mixed = self.attention.mix(q, k, v, layout, mask)
        num_asking = q.shape[2] - video.shape[1]  # the text's queries: none in the last block
        video = video + gate_a * self.attention.merge(mixed[:, :, num_asking:])
        video = video + gate_m * self.mlp(modulate(self.norm_mlp(video), shift_m, scale_m))
        text = self.text.update(text, mixed[:, :, :num_asking], shared)
        return torch.cat([text, video], dim=1)


class TextStream(nn.Module):
    """The text's side of a block: norms, modulation, projections and an MLP like the video's."""

    def __init__(self, width: int, attention: MultiHead, mlp: nn.Module) -> None:
        super().__init__()
        self.heads = Projections(width, attention.num_heads, attention.qk_norm)
        self.mlp = copy.deepcopy(mlp)
        for module in self.mlp.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()
        self.norm_attention = AdaptiveNorm(width)
        self.norm_mlp = AdaptiveNorm(width)
        self.gate_modulation = Modulation(width, 2 * width)

    def split(self, text: Tensor, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """Text (b, l, d) to queries, keys and values, (b, heads, l, head_dim)."""
        return self.heads.split(self.norm_attention(text, context), None)

    def update(self, text: Tensor, mixed: Tensor, context: Context) -> Tensor:
        """Text (b, l, d) and what its heads found to the text that the next block sees."""
        gates = self.gate_modulation(nn.functional.silu(context.vector))
        gate_a, gate_m = gates.chunk(2, dim=-1)
        text = text + gate_a * self.heads.merge(mixed)
        return text + gate_m * self.mlp(self.norm_mlp(text, context))


class LastTextStream(nn.Module):
    """The text's side of the last block: keys and values, and no more."""

    def __init__(self, width: int, attention: MultiHead) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.norm_attention = AdaptiveNorm(width)
        self.kv = Linear(width, 2 * width)
        self.norm_k = HeadNorm(width // self.num_heads) if attention.qk_norm else nn.Identity()

    def split(self, text: Tensor, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """Text (b, l, d) to no queries, and keys and values, (b, heads, l, head_dim)."""
        k, v = split_heads(self.kv(self.norm_attention(text, context)), 2, self.num_heads)
        return k[:, :, :0], self.norm_k(k), v

    def update(self, text: Tensor, mixed: Tensor, context: Context) -> Tensor:
        """The text as it is."""
        return text


def _mixes_once(attention: type) -> bool:
    return issubclass(attention, MultiHead) and attention.forward is MultiHead.forward
