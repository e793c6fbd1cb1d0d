"""Finite scalar quantisation (Mentzer et al. 2023): each latent value is one of a few levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vidiff.autoencoders.base import Past, Posterior
from vidiff.autoencoders.causal import Causal, plan_stages
from vidiff.registry import register


@dataclass
class Codes(Posterior):
    """Discrete latents."""

    latents: Tensor  # (b, c, f, h, w), on the grid of the levels; gradients pass straight through
    indices: Tensor  # (b, f, h, w), the code of each place, from 0 to num_codes - 1
    num_codes: int

    @property
    def mode(self) -> Tensor:
        return self.latents

    def draw(self) -> Tensor:
        return self.latents

    def kl(self, free_bits: float = 0.0) -> Tensor:
        """Zero; to a uniform prior it is constant, log ``num_codes`` (van den Oord et al. 2017)."""
        return self.latents.new_zeros(())


@register("fsq")
class FSQ(Causal):
    """The layers of ``causal_kl`` around a codebook that is not learned.

    The encoder gives a few numbers per place, each bounded and rounded to one of its levels; the
    codebook is all combinations of levels. Latents lie in [-1, 1], and those for diffusion are
    continuous: ``decode`` takes the nearest code.

    Args:
        levels: number of levels of each latent channel. ``[8, 5, 5, 5]``, by default: 4 channels
            and 1,000 codes. At least 3 each and 2^63 - 1 codes; the paper advises 5 and more.
    """

    levels: Tensor

    def __init__(
        self,
        *,
        levels: list[int] | None = None,
        folds: list[tuple[int, int, int]] | None = None,
        width: list[int] | None = None,
        depth: int | list[int] = 2,
        decoder_depth: int | list[int] | None = None,
        block: Literal["residual", "depthwise"] = "residual",
    ) -> None:
        levels = [8, 5, 5, 5] if levels is None else levels
        if min(levels, default=0) < 3 or math.prod(levels) >= 2**63:
            raise ValueError(
                "fsq needs at least one channel, three levels in each, and fewer than 2^63 codes "
                f"in all, got {levels=}"
            )
        super().__init__(len(levels))
        self.codebook_size = math.prod(levels)
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.make_halves(plan_stages(folds, width, depth, decoder_depth, block), len(levels))

    def read(self, pixels: Tensor, past: Past | None = None) -> Codes:
        latents = self.quantise(self.encoder(pixels, past))
        return Codes(latents, self.indices(latents), self.codebook_size)

    def denormalise(self, latents: Tensor) -> Tensor:
        """Latents for diffusion to the nearest codes."""
        return self._from_digits(self._digits(super().denormalise(latents)))

    # -- Codes ----------------------------------------------------------------------------------

    def quantise(self, x: Tensor) -> Tensor:
        """Any numbers (b, c, f, h, w) to codes; gradients pass straight through the rounding."""
        levels, half = self._per_channel()
        # Appendix A.1: a channel is bounded such that rounding reaches each of its levels. An even
        # number of them lies unevenly about zero, so the bound is shifted such that 0 stays 0; the
        # paper prints tan for atanh, which its author has called a mistake.
        reach = (levels - 1) * (1 - 1e-3) / 2
        offset = 0.5 * (1 - levels % 2)
        bounded = (x.float() + (offset / reach).atanh()).tanh() * reach - offset
        return (bounded + (bounded.round() - bounded).detach()) / half

    def indices(self, latents: Tensor) -> Tensor:
        """Unscaled latents (b, c, f, h, w) to the numbers of the nearest codes, (b, f, h, w).

        From 0 to ``codebook_size - 1``; the first channel counts in ones.
        """
        return (self._digits(latents) * self._places()).sum(1)

    def from_indices(self, indices: Tensor) -> Tensor:
        """Codes (b, c, f, h, w), for ``reconstruct``, of their numbers (b, f, h, w)."""
        levels = self.levels.view(1, -1, 1, 1, 1)
        return self._from_digits(indices.unsqueeze(1) // self._places() % levels)

    def _digits(self, latents: Tensor) -> Tensor:
        """Which level each value is nearest to, from 0: (b, c, f, h, w), integers."""
        levels, half = self._per_channel()
        return (latents.float() * half + half).round().clamp(min=0).minimum(levels - 1).long()

    def _from_digits(self, digits: Tensor) -> Tensor:
        _, half = self._per_channel()
        return (digits - half) / half

    def _per_channel(self) -> tuple[Tensor, Tensor]:
        """Levels, and half of them rounded down, in float32: (1, c, 1, 1, 1) twice."""
        levels = self.levels.view(1, -1, 1, 1, 1)
        return levels.float(), (levels // 2).float()

    def _places(self) -> Tensor:
        """The worth of a digit of each channel in an index: (1, c, 1, 1, 1)."""
        return (self.levels.cumprod(0) // self.levels).view(1, -1, 1, 1, 1)
