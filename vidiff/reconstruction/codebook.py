"""How much of a codebook is used."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from vidiff.reconstruction.base import Reconstruction, ReconstructionMetric, Sums, widest
from vidiff.registry import register

MAX_CODES = 2**20  # of larger codebooks no count is kept: 8 MiB


@register("codebook")
class Codebook(ReconstructionMetric):
    """How many of a codebook's codes are used, and how evenly.

    ``codebook_usage`` is the share of codes that were seen at all, which a set with fewer places
    than codes keeps low. ``codebook_perplexity`` is the number of codes that, evenly used, would
    have the same entropy. Measures posteriors with ``indices`` and ``num_codes``, as that of
    ``fsq``; there is no score of others, nor, with a warning, of more than 2^20 codes.
    """

    higher_is_better = True
    score_names = ("codebook_usage", "codebook_perplexity")

    def measure(self, videos: Reconstruction) -> Sums:
        indices: Tensor | None = getattr(videos.posterior, "indices", None)
        if indices is None:
            return {}
        num_codes: int = videos.posterior.num_codes  # type: ignore[union-attr]
        if num_codes > MAX_CODES:
            warnings.warn(
                f"codebook use is not measured: {num_codes} codes are more than {MAX_CODES}",
                stacklevel=2,
            )
            return {}
        places = indices.flatten()
        counts = torch.zeros(num_codes, dtype=widest(places.device), device=places.device)
        # Not bincount, which waits for the device.
        return {
            "counts": counts.scatter_add_(0, places, torch.ones_like(places, dtype=counts.dtype))
        }

    def summarise(self, sums: Sums) -> dict[str, Tensor]:
        counts = sums["counts"]
        share = counts / counts.sum()
        return {
            "codebook_usage": (counts > 0).to(counts.dtype).mean(),
            "codebook_perplexity": torch.special.entr(share).sum().exp(),
        }
