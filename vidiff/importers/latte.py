"""Latte (Ma et al. 2024), variant 1, as Vchitect/Latte names its weights (``models/latte.py``)."""

from __future__ import annotations

import torch

from vidiff.building import Node
from vidiff.importers.base import Imported, Weights, node
from vidiff.importers.dit import DiTImporter, check_table, taken
from vidiff.positions import Factorised
from vidiff.types import Grid


class LatteImporter(DiTImporter):
    """Vchitect/Latte, variant 1, unconditional or class-conditional: DiT's weights, over video."""

    def read(self, weights: Weights, num_heads: int | None) -> Imported:
        if text := [name for name in weights if name.startswith("text_embedding_projection")]:
            raise ValueError(
                f"{text[0]}: Latte with text is not imported, only the unconditional and the "
                "class-conditional models"
            )
        return super().read(weights, num_heads)

    def objective(self, learn_variance: bool) -> Node:
        guidance = node("vidiff.guidance.ClassifierFree", scale=7.0, channels=4)
        return super().objective(learn_variance) | {"guidance": guidance}

    def parts(self) -> Node:
        return {
            "positions": node("vidiff.positions.Factorised"),
            "attention": node("vidiff.attention.Alternating"),
        }

    def check_positions(self, left: Weights, width: int) -> Grid:
        _, side, _ = super().check_positions(left, width)
        table = taken(left, "temp_embed")
        grid = (table.shape[1], 1, 1)
        positions = Factorised(width=width)
        zeros = torch.zeros(1, table.shape[1], width)
        check_table("temp_embed", table, positions.add_before_block(1, zeros, grid)[0])
        return table.shape[1], side, side
