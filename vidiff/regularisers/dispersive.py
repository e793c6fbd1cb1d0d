"""Dispersive loss (Wang & He 2025, "Diffuse and Disperse", the InfoNCE variant with l2)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from vidiff.checks import at_least, positive
from vidiff.registry import register
from vidiff.regularisers.base import Regulariser


@register("dispersive")
class Dispersive(Regulariser):
    """Pushes the tokens of a batch's clips apart: a contrastive loss without positive pairs.

    ``weight log mean_ij exp(-|z_i - z_j|^2 / (temperature dim))``, over all pairs of the batch, i =
    j included; z is all tokens of a clip after one block, ``dim`` its size (as in published code).

    Args:
        block: number of the block, from 1 on; a quarter of the depth is a good place.
        weight: of the term; 0.5 in the paper.
        temperature: of the distances, above 0; 0.5 in the paper.
    """

    def __init__(self, block: int = 1, weight: float = 0.5, temperature: float = 0.5) -> None:
        at_least(1, block=block)
        positive(temperature=temperature)
        self.blocks, self.weight, self.temperature = (block,), weight, temperature

    def __call__(self, features: Mapping[int, Tensor]) -> Tensor:
        z = features[self.blocks[0]].flatten(1).float()
        norms = z.square().sum(1)
        distances = (norms[:, None] + norms[None, :] - 2 * z @ z.T).clamp(min=0) / z.shape[1]
        pairs = (-distances / self.temperature).flatten()
        return self.weight * (pairs.logsumexp(0) - math.log(len(pairs)))
