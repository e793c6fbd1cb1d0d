"""Small causal autoencoders of every compression, for several tests."""

from __future__ import annotations

import torch

from vidiff.autoencoders import FSQ, CausalKL

COMPRESSIONS = [(ct, cs) for ct in (1, 2, 4, 8) for cs in (4, 8, 16)]
BLOCKS = ["residual", "depthwise"]


def folds_of(ct: int, cs: int) -> list[tuple[int, int, int]]:
    """One stage, or two where one would fold more than 2 x 4 x 4."""
    first = (min(ct, 2), 4, 4)
    second = (ct // first[0], cs // 4, cs // 4)
    return [first] if second == (1, 1, 1) else [first, second]


def small(folds, cls=CausalKL, **settings):
    torch.manual_seed(0)
    own = {"levels": [5, 4, 4, 3]} if cls is FSQ else {"latent_channels": 4}
    model = cls(folds=folds, width=[16] * len(folds), **{"depth": 1, **own, **settings})
    for parameter in model.parameters():  # residual branches start at zero
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model
