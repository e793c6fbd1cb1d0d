"""What every autoencoder that learns promises of its latents."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.autoencoders.learned import Variational


def check_normalised(model: Variational, seen: Tensor, within: float) -> None:
    """By the statistics of training, latents (b, c, f, h, w) have mean 0 and deviation 1.

    And what is decoded of encoded clips is the reconstruction of the posterior's mean.
    """
    model.eval()
    mean, std = model._statistics()
    normalised = (seen - mean) / std
    assert normalised.mean((0, 2, 3, 4)).abs().max() < within
    assert (normalised.std((0, 2, 3, 4)) - 1).abs().max() < within
    pixels = torch.randn(1, 3, 3, 8, 8)
    torch.testing.assert_close(
        model.decode(model.encode(pixels)), model.reconstruct(model.posterior(pixels).mean)
    )
